// A coordinator's view: how far, how well people agree, who votes how, and who may.

import { ask, tell } from "./ask.js";
import { $$, html, show } from "./dom.js";
import { label, page, root, write } from "./label-ask.js";
import { columns, progress, scatters, values } from "./label-plots.js";
import { counted } from "./label-session.js";
import { percent, plain } from "./words.js";

const parts = Object.fromEntries($$("[id]").map((one) => [one.id, one]));
const EVERY_MS = 30_000;
const NAMED = 24;
const known = (value) => typeof value === "number" && Number.isFinite(value);
const number = (value, digits = 1, unit = "") => (known(value) ? `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}${unit}` : "–");
const many = (n) => (known(n) ? n.toLocaleString("en") : "–");

function figure(value, name, more = "") {
  return html("div", { class: "card number" }, html("p", { class: "figure" }, value), html("p", { class: "small" }, name, more && html("br"), more));
}

function end(left) {
  if (!known(left)) return ["–", "until the end"];
  const day = new Date(Date.now() + Math.min(left, 36_500) * 86_400_000).toISOString().slice(0, 10);
  return [counted(Math.ceil(left), "day"), "until the end, at this rate", left < 36_500 ? `about ${day}` : ""];
}

function drawProgress({ n = 0, done = 0, disputed = 0, open = null, votes = 0, rejected = 0, per_day: perDay = [], days_left: left } = {}) {
  parts.bar.replaceChildren(progress(done, n));
  const week = perDay.slice(-7);
  const rate = week.length ? week.reduce((sum, [, one]) => sum + one, 0) / week.length : null;
  parts.numbers.replaceChildren(
    figure(n ? percent(done / n) : "–", "done", known(open) ? `${many(open)} open` : ""),
    figure(many(votes), "votes"),
    figure(number(rate, rate < 10 ? 1 : 0), "votes a day", `mean of ${counted(week.length, "day")}`),
    figure(...end(left)),
    figure(many(disputed), "disputed"),
    figure(many(rejected), "rejected"));
  parts["per-day"].replaceChildren(...(perDay.length ? [html("h3", {}, "Votes per day"), columns(perDay, { label: "Votes per day" })] : []));
}

function drawAgreement({ of, pair_rms_deg: rms, alpha = [], differences = [] } = {}) {
  const said = [];
  if (rms) {
    const span = known(rms.low) && known(rms.high) ? ` (95 %: ${number(rms.low)}–${number(rms.high, 1, "°")})` : "";
    said.push(html("p", {}, html("b", {}, number(rms.value, 1, "°")), ` root mean square difference of two people’s angles${span}, ${many(rms.n)} galaxies with two votes or more.`));
  }
  if (differences.length) said.push(html("figure", {}, columns(differences, { label: "Differences of pairs", axis: "difference of two people (deg)" })));
  if (said.length || alpha.length) said.unshift(...(of === "random" ? [html("p", { class: "small" }, "Of the galaxies that chance drew: those chosen for what they teach are doubtful on purpose.")] : []));
  const rows = alpha.map((one) => ({ name: plain(one.question), value: one.value, n: one.n }));
  if (rows.length) said.push(html("p", { class: "small" }, "Krippendorff’s α of each question: 1 is agreement, 0 is chance."), values(rows, { label: "Krippendorff’s alpha per question" }));
  parts.agreement.replaceChildren(...(said.length ? said : [html("p", { class: "small" }, "There are not yet two votes on any galaxy.")]));
}

function gold({ n, error, accuracy } = {}) {
  if (!n) return "–";
  return `${known(accuracy) ? percent(accuracy) : number(error, 1, "°")} (n = ${many(n)})`;
}

const named = (one) => one.name ?? "without a name";

function rater(one) {
  return html("tr", { class: one.flag ? "flagged" : "" },
    html("th", { scope: "row" }, named(one)),
    html("td", {}, one.role ?? ""),
    html("td", { class: "n" }, many(one.votes)),
    html("td", { class: "n" }, number(one.seconds_median, 1, " s")),
    angles && [html("td", { class: "n" }, number(one.scale, 2)), html("td", { class: "n" }, number(one.offset, 1, "°")), html("td", { class: "n" }, number(one.scatter, 1, "°"))],
    html("td", { class: "n" }, gold(one.gold)),
    html("td", {}, one.flag ? html("span", { class: "flag" }, one.flag === true ? "outlier" : plain(one.flag)) : ""));
}

const angles = root.dataset.task === "inclination";

function drawRaters(raters = []) {
  parts.raters.replaceChildren(...raters.map(rater));
  show(parts["raters-table"], raters.length > 0);
  show(parts["no-raters"], !raters.length);
  const drawn = raters.some((one) => known(one.offset));
  parts["raters-plot"].replaceChildren(...(drawn ? [html("h3", {}, "Offset ± scatter"), scatters(raters, { label: "Offset and scatter of raters" })] : []));
}

function drawDisputes(disputes = []) {
  parts.disputes.replaceChildren(...disputes.slice(0, 24).map(({ id, image, votes }) => html("li", {},
    html("a", { href: `${page()}?mode=disputes&galaxy=${encodeURIComponent(id)}` },
      html("img", { src: image, alt: "", width: 120, height: 120, loading: "lazy" }),
      html("span", {}, id), html("span", { class: "small" }, Array.isArray(votes) ? counted(votes.length, "vote") : known(votes) ? counted(votes, "vote") : "")))));
  const text = disputes.length ? `${counted(disputes.length, "galaxy").replace("galaxys", "galaxies")} on which people do not agree.` : "There are none.";
  parts["disputes-say"].textContent = text;
  show(parts["to-disputes"], disputes.length > 0);
}

function drawUnreadable(unreadable = []) {
  const n = unreadable.length;
  parts["unreadable-say"].textContent = `${counted(n, "image")} could not be read in the last minutes. All others come first; ${n === 1 ? "it is" : "they are"} tried again.`;
  parts["unreadable-list"].replaceChildren(
    ...unreadable.slice(0, NAMED).map(({ id, why }) => html("li", {}, html("b", {}, id), ` ${why}`)),
    ...(n > NAMED ? [html("li", {}, `and ${many(n - NAMED)} more`)] : []));
  show(parts.unreadable, n > 0);
}

async function people() {
  const found = await label("/people");
  const rows = found.people ?? found;
  parts.people.replaceChildren(...rows.map((one) => {
    const choose = html("select", { "aria-label": `Role of ${named(one)}` }, ["volunteer", "expert", "coordinator"].map((role) => html("option", { value: role, selected: role === one.role }, role)));
    choose.addEventListener("change", () => changeRole(one, choose));
    return html("tr", {}, html("th", { scope: "row" }, named(one)), html("td", {}, choose), html("td", { class: "n" }, many(one.votes)));
  }));
}

async function changeRole(one, choose) {
  try {
    await write(`/people/${encodeURIComponent(one.id)}`, { role: choose.value });
    parts.busy.textContent = `${named(one)} is ${choose.value} now.`;
    tell(parts.error, null);
  } catch (error) {
    choose.value = one.role;
    tell(parts.error, error);
  }
}

async function invite(event) {
  event.preventDefault();
  try {
    const name = parts["invite-name"].value.trim();
    const { link } = await write("/invitations", { role: parts["invite-role"].value, ...(name ? { name } : {}) });
    // The server may know itself by another name than people do.
    parts.address.value = new URL(page("sign-in") + new URL(link, location.href).hash, location.href).href;
    show(parts.link);
    parts.address.focus();
    parts.address.select();
    tell(parts.error, null);
  } catch (error) {
    tell(parts.error, error);
  }
}

async function alarms() {
  try {
    const { alarms: open } = await ask("/alarms", { query: { state: "open" } });
    parts.alarms.textContent = open.length ? `${counted(open.length, "alarm")} of the models ${open.length === 1 ? "is" : "are"} open` : "No open alarm of the models";
  } catch {
    parts.alarms.textContent = "The alarms of the models";
  }
}

async function draw() {
  try {
    const found = await label("/statistics");
    drawProgress(found.progress);
    drawAgreement(found.agreement);
    drawRaters(found.raters);
    drawDisputes(found.disputes);
    drawUnreadable(found.unreadable);
    tell(parts.error, null);
  } catch (error) {
    tell(parts.error, error);
  }
}

async function begin() {
  try {
    const { person } = await label("/me");
    if (person?.role !== "coordinator") {
      show(parts.stranger);
      parts["stranger-says"].textContent = person ? "This page is for the campaign’s coordinator." : "This page is for the campaign’s coordinator: sign in.";
      return;
    }
    await draw();
    show(parts.board);
    await Promise.all([people(), alarms()]);
    setInterval(() => document.hidden || draw(), EVERY_MS);
  } catch (error) {
    tell(parts.error, error);
  }
}

parts.inviting.addEventListener("submit", invite);
await begin();
document.documentElement.dataset.ready = "";
