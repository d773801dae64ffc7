// The first page: an image from a file or the sky, placed by hand, and what the models say.

import { Refused, ask, askImage, tell } from "./ask.js";
import { across, render } from "./answer.js";
import { $, $$, html, show } from "./dom.js";
import { bearings } from "./drawings.js";
import { both, read } from "./sky.js";
import { Viewer, described } from "./viewer.js";
import { bytes, survey } from "./words.js";

const limits = { ...$("#evaluate").dataset };
const parts = Object.fromEntries($$("[id]").map((one) => [one.id, one]));
// What is asked about: a file, or the query that gets it from the sky.
let source = null;
let asking = null;
let latest = null;

const viewer = new Viewer(parts.view, (placement) => {
  parts.placed.textContent = described(placement);
  if (latest) show(parts.stale, described(placement) !== described(latest.placement));
  drawBearings();
});

// Where the image comes from

function readTyped() {
  const found = read(parts.where.value);
  const said = {
    empty: "",
    wrong: found.text,
    url: "Read as the address of an image.",
    name: `Read as a name: ${found.name}`,
    position: found.kind === "position" ? `Read as ${both(found.ra, found.dec)}, ICRS` : "",
  }[found.kind];
  parts.reading.textContent = said;
  parts.reading.classList.toggle("bad", found.kind === "wrong");
  parts.where.setAttribute("aria-invalid", String(found.kind === "wrong"));
  return found;
}

function skyQuery() {
  const found = readTyped();
  const cut = { size_arcmin: parts.size.value, survey: parts.survey.value };
  if (found.kind === "position") return { ra: found.ra.toFixed(7), dec: found.dec.toFixed(7), ...cut };
  if (found.kind === "name") return { name: found.name, ...cut };
  if (found.kind === "url") return { url: found.url };
  throw new Refused(0, found.kind === "empty"
    ? { found: "There is no name and no position.", do: "Type one, as M 51 or 187.706 12.391." }
    : { found: found.text });
}

async function fromSky(event) {
  event?.preventDefault();
  await busily("Getting the image…", async (signal) => {
    const query = skyQuery();
    const { blob, ...told } = await askImage("/cutout", { query, signal });
    const arcsec = told.northUp && query.size_arcmin ? 60 * query.size_arcmin : null;
    await opened(blob, { query, arcsec, ...told });
    remember(query.size_arcmin ? { q: parts.where.value.trim(), survey: query.survey, size: query.size_arcmin } : { q: query.url });
  });
}

async function fromFile(file) {
  if (!file) return;
  await busily("Opening the file…", async () => {
    if (file.size > Number(limits.uploadBytes)) {
      throw new Refused(413, {
        found: `${file.name} has ${bytes(file.size)}`,
        expected: `at most ${bytes(Number(limits.uploadBytes))}`,
        do: "cut the galaxy out of it",
      });
    }
    await opened(file, { file });
    remember(null);
  });
}

async function opened(blob, found) {
  let image = null;
  try {
    image = await createImageBitmap(blob);
  } catch {
    // FITS and TIFF: the server reads them, the browser does not.
    if (!found.file) throw new Refused(502, { found: "The archive's image cannot be shown.", do: "Try another survey." });
  }
  source = { ...found, shown: Boolean(image), nx: image?.width, ny: image?.height };
  forget();
  viewer.open(image);
  show(parts.drop, false);
  show(parts.tools, Boolean(image));
  show(parts.keys, Boolean(image));
  show(parts.another);
  show(parts.unseen, !image);
  if (!image) parts["unseen-name"].textContent = found.file.name;
  parts.seen.replaceChildren();
  parts.view.setAttribute("aria-label", `The image ${found.file?.name ?? parts.where.value}. Turn, zoom and centre it with the keys.`);
  parts.go.disabled = false;
  parts.go.focus({ preventScroll: true });
}

function remember(query) {
  history.replaceState(null, "", query ? `/?${new URLSearchParams(query)}` : "/");
}

// Asking

function chosen() {
  const boxes = $$("input[name=models]");
  const on = boxes.filter((box) => box.checked).map((box) => box.value);
  if (!on.length) throw new Refused(0, { found: "No model is chosen.", do: "Choose at least one." });
  return on.length === boxes.length ? undefined : on.join(",");
}

async function predict(more, signal) {
  const at = viewer.at;
  const query = { models: chosen(), ...more };
  for (const name of ["turn", "zoom", "x", "y"]) {
    const value = Number(at[name].toFixed(5));
    if (value !== (name === "zoom" ? 1 : 0)) query[name] = value;
  }
  if (!source.file) return ask("/predict", { query: { ...source.query, ...query }, signal });
  const body = new FormData();
  body.append("file", source.file, source.file.name);
  return ask("/predict", { method: "POST", query, body, signal });
}

async function evaluate(more = {}) {
  if (!source) return;
  const wanted = { ...more };
  // The only way to a picture of what the browser cannot show.
  if (!source.shown) wanted.explain = true;
  await busily("Asking the models…", async (signal) => {
    present(await predict(wanted, signal));
  });
}

function present(answer) {
  latest = answer;
  show(parts.stale, false);
  show(parts.empty, false);
  show(parts.share);
  show(parts.link, false);
  show(parts["kept-already"], Boolean(answer.id && answer.alarm));
  render(parts.answer, answer, { look: () => evaluate({ explain: true }) });
  if (!source.shown) picture(answer);
  parts.said.textContent = answer.sentence;
  drawBearings();
  if (matchMedia("(max-width: 60rem)").matches) parts.answer.scrollIntoView({ block: "start" });
}

/** The server's picture of what the browser cannot show: the whole where it is kept, else what a network saw. */
function picture(answer) {
  const model = answer.answers.find((one) => one.looked);
  if (!answer.id && !model) return;
  const src = answer.id ? `/api/v1/results/${encodeURIComponent(answer.id)}/image.jpg` : model.looked.seen;
  const words = answer.id ? "The image as the server shows it" : `The image as ${model.model} sees it`;
  parts.seen.replaceChildren(html("img", { src, alt: words }));
  parts["on-sky"].textContent = `${words}.`;
  show(parts.unseen, false);
}

function forget() {
  latest = null;
  parts.answer.replaceChildren();
  show(parts.stale, false);
  show(parts.share, false);
  show(parts.link, false);
  show(parts.empty);
  parts["on-sky"].textContent = "";
  parts.bearings.replaceChildren();
}

function drawBearings() {
  if (!source?.shown) return;
  const wide = latest ? across({ ...latest, placement: viewer.at }) : source.arcsec && source.arcsec / viewer.at.zoom;
  parts.bearings.replaceChildren(...(wide ? [bearings(viewer.at.turn, wide)] : []));
  const known = typeof latest?.image.ra === "number" ? latest.image : source;
  const from = source.from ? `, from ${survey(source.from)}` : "";
  parts["on-sky"].textContent = typeof known.ra === "number" ? `Middle of the image: ${both(known.ra, known.dec)}, ICRS${from}` : "";
}

async function share() {
  await busily("Keeping the answer…", async (signal) => {
    if (latest.id && parts.stale.hidden) return link(latest);
    const explained = latest?.answers.some((one) => one.looked);
    const answer = await predict({ keep: true, ...(explained ? { explain: true } : {}) }, signal);
    present(answer);
    link(answer);
  });
}

function link({ id }) {
  parts.address.value = new URL(`/r/${encodeURIComponent(id)}`, location.href).href;
  show(parts.link);
  parts.address.focus();
  parts.address.select();
}

/** Do one thing at a time, say that it is under way, and tell what went wrong. */
async function busily(words, doing) {
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  tell(parts.error, null);
  parts.busy.textContent = words;
  document.body.setAttribute("aria-busy", "true");
  try {
    await doing(mine.signal);
  } catch (error) {
    if (error.name !== "AbortError") tell(parts.error, error);
  } finally {
    if (asking === mine) {
      asking = null;
      parts.busy.textContent = "";
      document.body.removeAttribute("aria-busy");
    }
  }
}

// Hands

parts.sky.addEventListener("submit", fromSky);
parts.where.addEventListener("input", readTyped);
parts.file.addEventListener("change", () => fromFile(parts.file.files[0]));
parts.ask.addEventListener("submit", (event) => {
  event.preventDefault();
  evaluate();
});
parts.keep.addEventListener("click", share);
for (const button of $$("[data-try]")) {
  button.addEventListener("click", () => {
    parts.where.value = button.dataset.try;
    fromSky();
  });
}
const moves = {
  left: () => viewer.move(-0.05, 0),
  right: () => viewer.move(0.05, 0),
  up: () => viewer.move(0, -0.05),
  down: () => viewer.move(0, 0.05),
  closer: () => viewer.enlarge(1.2),
  further: () => viewer.enlarge(1 / 1.2),
  anticlockwise: () => viewer.turn(15),
  clockwise: () => viewer.turn(-15),
  reset: () => viewer.reset(),
};
for (const button of $$("[data-move]")) button.addEventListener("click", moves[button.dataset.move]);

document.addEventListener("keydown", (event) => {
  // Enter on a button, a link or a field has a meaning of its own.
  if (event.key === "Enter" && !event.target.closest("a, button, input, select, summary, textarea")) evaluate();
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    parts.frame.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) parts.frame.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  parts.frame.classList.remove("over");
  fromFile(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => fromFile(event.clipboardData?.files[0]));

const begun = new URLSearchParams(location.search);
if (begun.get("q")) {
  parts.where.value = begun.get("q");
  if (begun.get("size")) parts.size.value = begun.get("size");
  if ([...parts.survey.options].some((one) => one.value === begun.get("survey"))) parts.survey.value = begun.get("survey");
  fromSky();
}
document.documentElement.dataset.ready = "";
