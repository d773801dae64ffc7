// One table under work: how far it is, stopping it, and its results.

import { ask, tell } from "./ask.js";
import { $, show } from "./dom.js";
import { inWords, under } from "./progress.js";
import { withToken } from "./token.js";

const EVERY_MS = 1000;
const name = $("#job").dataset.job;
const path = `/jobs/${encodeURIComponent(name)}`;
let timer = null;

function present(job) {
  const done = $("#done");
  done.max = Math.max(1, job.n);
  done.value = job.done;
  $("#progress").textContent = inWords(job);
  $("#message").textContent = job.message ?? "";
  document.title = under(job) ? `${Math.floor((100 * job.done) / Math.max(1, job.n))} % · Table ${name}` : `Table ${name} · Morphoscope`;
  show($("#cancel"), under(job));
  show($("#results"), !under(job) && job.done > 0);
}

async function look() {
  clearTimeout(timer);
  try {
    const job = await ask(path);
    present(job);
    tell($("#error"), null);
    if (under(job)) timer = setTimeout(look, EVERY_MS);
  } catch (error) {
    tell($("#error"), error);
    // A server that is away for a moment comes back; a refusal stays one.
    if (!error.status || error.status >= 500) timer = setTimeout(look, 5 * EVERY_MS);
  }
}

async function cancel() {
  try {
    await ask(path, { method: "DELETE" });
    await look();
  } catch (error) {
    tell($("#error"), error);
  }
}

$("#cancel").addEventListener("click", cancel);
withToken(look);
look();
document.documentElement.dataset.ready = "";
