// Tables: upload one, and see those under work.

import { Refused, ask, tell } from "./ask.js";
import { $, $$, html, show } from "./dom.js";
import { bar, inWords, under } from "./progress.js";
import { withToken } from "./token.js";
import { bytes, moment } from "./words.js";

const EVERY_MS = 2000;
const limit = Number($("#upload").dataset.uploadBytes);
let timer = null;

function row(job) {
  return html("tr", {},
    html("th", { scope: "row" }, html("a", { href: `/jobs/${encodeURIComponent(job.id)}` }, job.id)),
    html("td", {}, moment(job.created)),
    html("td", {}, job.models.join(", ") || "all"),
    html("td", {}, bar(job), html("span", { class: "small" }, inWords(job))));
}

async function list() {
  clearTimeout(timer);
  try {
    const { jobs } = await ask("/jobs");
    $("#jobs").replaceChildren(...jobs.map(row));
    show($("#listed"), jobs.length > 0);
    show($("#none"), jobs.length === 0);
    tell($("#error"), null);
    if (jobs.some(under)) timer = setTimeout(list, EVERY_MS);
  } catch (error) {
    tell($("#error"), error);
  }
}

async function upload(event) {
  event.preventDefault();
  const file = $("#table").files[0];
  const button = $("#start");
  button.disabled = true;
  $("#busy").textContent = "Sending the table…";
  try {
    if (!file) throw new Refused(0, { found: "No table is chosen.", do: "Choose a CSV, Parquet, FITS or VOTable file." });
    if (file.size > limit) {
      throw new Refused(413, { found: `${file.name} has ${bytes(file.size)}`, expected: `at most ${bytes(limit)}`, do: "split the table" });
    }
    const boxes = $$("input[name=models]");
    const on = boxes.filter((box) => box.checked).map((box) => box.value);
    if (!on.length) throw new Refused(0, { found: "No model is chosen.", do: "Choose at least one." });
    const body = new FormData();
    body.append("file", file, file.name);
    const query = { survey: $("#survey").value, size_arcmin: $("#size").value, models: on.length < boxes.length ? on.join(",") : "" };
    const job = await ask("/jobs", { method: "POST", query, body });
    location.assign(`/jobs/${encodeURIComponent(job.id)}`);
  } catch (error) {
    tell($("#error"), error);
  } finally {
    button.disabled = false;
    $("#busy").textContent = "";
  }
}

$("#upload").addEventListener("submit", upload);
if (!withToken(list)) list();
document.documentElement.dataset.ready = "";
