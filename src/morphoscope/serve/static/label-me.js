// One's own data: what is stored, as a file, and away with it.

import { tell } from "./ask.js";
import { $, $$, html, show } from "./dom.js";
import { campaign, label, page, write } from "./label-ask.js";
import { Outbox, forgetVotes, signedInAs } from "./label-outbox.js";
import { counted } from "./label-session.js";
import { moment } from "./words.js";

const parts = Object.fromEntries($$("[id]").map((one) => [one.id, one]));
let me = null;
let outbox = null;

const fact = (name, value) => [html("dt", {}, name), html("dd", {}, value)];

function facts() {
  const waits = outbox.waiting.length;
  parts.facts.replaceChildren(...[
    fact("Name", me.anonymous ? "none: you are anonymous" : me.name),
    fact("Role", me.role),
    fact("Votes", `${me.votes.toLocaleString("en")} counted${waits ? `, ${counted(waits, "vote")} on this device ${waits === 1 ? "waits" : "wait"} for the connection` : ""}`),
    me.since ? fact("Since", `${moment(me.since)} UTC`) : [],
  ].flat());
}

async function download() {
  tell(parts.error, null);
  try {
    const told = await label("/me/data");
    const text = JSON.stringify({ campaign, ...told, on_this_device: outbox.entries() }, null, 2);
    const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    html("a", { href: address, download: `${campaign}-my-data.json` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  } catch (error) {
    tell(parts.error, error);
  }
}

async function remove(event) {
  event.preventDefault();
  tell(parts.error, null);
  try {
    const { votes } = await write("/me/remove", { confirm: parts.confirmation.value.trim() });
    forgetVotes(campaign, me.id);
    signedInAs(campaign, null);
    show(parts.mine, false);
    show(parts.gone);
    parts["gone-says"].textContent = `Your account and ${counted(votes, "vote")} are removed.`;
    $("h1").focus();
  } catch (error) {
    tell(parts.error, error);
  }
}

async function leave() {
  try {
    await write("/sign-out");
    signedInAs(campaign, null);
    location.assign(page("sign-in"));
  } catch (error) {
    tell(parts.error, error);
  }
}

async function begin() {
  try {
    me = (await label("/me")).person;
    if (!me) return location.replace(page("sign-in"));
    signedInAs(campaign, me.id);
    outbox = new Outbox(campaign, me.id, facts);
    outbox.start();
    const word = me.anonymous ? "anonymous" : me.name;
    parts.word.textContent = word;
    parts.confirmation.addEventListener("input", () => (parts.remove.disabled = parts.confirmation.value.trim() !== word));
    facts();
    show(parts.mine);
  } catch (error) {
    tell(parts.error, error);
  }
}

parts.download.addEventListener("click", download);
parts.leave.addEventListener("click", leave);
parts.removing.addEventListener("submit", remove);
await begin();
document.documentElement.dataset.ready = "";
