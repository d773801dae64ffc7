// The measuring page: a galaxy, what is asked about it, and a vote that is never lost.

import { Refused, tell } from "./ask.js";
import { $, $$, html, show } from "./dom.js";
import { campaign, label, page, root, uuid } from "./label-ask.js";
import { Development, Glass } from "./label-glass.js";
import { image, inBand } from "./label-images.js";
import { Inclination } from "./label-inclination.js";
import { keep, lasting, read } from "./label-kept.js";
import { once } from "./label-once.js";
import { Outbox, signedInAs } from "./label-outbox.js";
import { Queue } from "./label-queue.js";
import { Clock, History, counted } from "./label-session.js";
import { Tree } from "./label-tree.js";

const parts = Object.fromEntries($$("[id]").map((one) => [one.id, one]));
const mode = new URLSearchParams(location.search).get("mode") === "disputes" ? "disputes" : "queue";
// The dispute that somebody chose on the dashboard comes first.
const first = new URLSearchParams(location.search).get("galaxy") ?? "";
// A click or a key so soon after a galaxy has come was meant for the one before.
const FRESH_MS = 300;
const HINT = `morphoscope-hint:${root.dataset.task}`;
const clock = new Clock();
// What is in front of a person: the galaxy, the note on it, and the vote that was taken back.
let shown = { subject: null, note: "", former: null };
let band = read("morphoscope-band") ?? "";
let outbox, queue, task, history, me;
let mine = 0;
let freshness = null;

const glass = new Glass(parts.view, parts.ring, () => task?.placed?.(parts.view));
const development = new Development(root, { contrast: parts.contrast, brightness: parts.brightness });

// One galaxy after another

async function present(subject, former = null) {
  shown = { subject, note: former?.note ?? "", former };
  queue.shown = subject;
  clock.begin();
  parts.frame.setAttribute("aria-busy", "true");
  show(parts.work, true);
  show(parts.rest, false);
  showNote();
  showBand();
  glass.reset();
  task.begin(former?.content ?? null);
  const found = await imageOf(subject);
  if (shown.subject !== subject || !found) return;
  glass.open(found.bitmap);
  fresh();
  clock.begin();
}

/** The galaxy is seen from now on. */
function fresh() {
  clearTimeout(freshness);
  parts.frame.removeAttribute("aria-busy");
  parts.frame.dataset.fresh = "";
  freshness = setTimeout(() => delete parts.frame.dataset.fresh, FRESH_MS);
}

/** Whether an answer can be about the galaxy that is shown. */
const answerable = () => Boolean(shown.subject) && !parts.frame.hasAttribute("aria-busy") && !("fresh" in parts.frame.dataset);

async function imageOf(subject) {
  try {
    const found = await image(inBand(subject, band));
    tell(parts.error, null);
    return found;
  } catch (error) {
    if (shown.subject === subject) tell(parts.error, error);
    return null;
  }
}

function next() {
  const subject = queue.take();
  if (subject) return present(subject);
  shown = { subject: null, note: "", former: null };
  rest();
}

/** Nothing to show: why, and what will happen. */
function rest() {
  const waits = outbox.waiting.length;
  const kept = waits ? ` ${counted(waits, "vote")} ${waits === 1 ? "waits" : "wait"} here and will be sent.` : "";
  const away = queue.problem && queue.problem.status !== 401;
  const words = queue.problem?.status === 401
    ? ["You are signed out", `Sign in again to go on.${kept}`]
    : away
      ? ["The connection is away", `All galaxies that were fetched ahead are measured.${kept} It goes on by itself when the server can be reached.`]
      : queue.exhausted
        ? ["No other galaxy can be shown now", `Images that could not be shown will be tried again, without your doing. There is no other galaxy for you at the moment.${kept}`]
        : queue.done && !queue.coming.length
          ? [mode === "disputes" ? "No dispute is left" : "All measured", `There is no galaxy left for you. Thank you.${kept}`]
          : ["One moment", queue.notShown ? "Galaxies are asked for whose images can be shown." : "The next galaxies are on their way."];
  [parts["rest-title"].textContent, parts["rest-words"].textContent] = words;
  show(parts.work, false);
  show(parts.rest, true);
}

function news() {
  showSaved();
  if (shown.subject) return;
  if (queue.coming.some((one) => one.ready)) next();
  else rest();
}

// Votes

function cast(content, words) {
  if (!answerable()) return;
  const { subject, note } = shown;
  const vote = { key: uuid(), subject: subject.id, content, note, seconds: clock.seconds(), made: new Date().toISOString() };
  queue.voted.add(subject.id);
  history.push({ subject, vote });
  outbox.add(vote);
  counts(1);
  say(`${words}.`, true);
  tell(parts.error, null);
  show(parts.hint, false);
  next();
}

function counts(one) {
  mine += one;
  if (typeof queue.left === "number") queue.left = Math.max(0, queue.left - one);
}

function undo() {
  const last = history.pop();
  if (!last) return say("There is no vote to take back.");
  outbox.undo(last.vote);
  queue.voted.delete(last.subject.id);
  queue.back(shown.subject);
  counts(-1);
  say("Taken back: your former answer is marked.");
  present(last.subject, last.vote);
}

function say(words, undoable = false) {
  parts.said.textContent = words;
  show(parts.undo, history.length > 0);
  parts.undo.title = undoable ? `Take back “${words}”: u` : "Take the last vote back: u";
}

// What is kept, and what is not

const inside = (sentence) => (sentence.charAt(0).toLowerCase() + sentence.slice(1)).replace(/\.$/, "");
const SAVING = {
  idle: () => "Saving…",
  away: (many) => `${many} for the connection`,
  failing: (many, problem) => `${many} for the server: ${inside(problem)}`,
  "signed out": (many) => `${many} until you sign in`,
  "other person": (many) => `${many} until you sign in again`,
};

function showSaved() {
  const [waits, state] = [outbox.waiting.length, outbox.state];
  const many = `${counted(waits, "vote")} ${waits === 1 ? "waits" : "wait"}`;
  const words = !waits ? "All saved" : SAVING[state](many, outbox.problem);
  const kind = !waits ? "saved" : state === "idle" ? "saving" : "waits";
  if (parts.saved.textContent !== words) parts.saved.textContent = words;
  parts.saved.dataset.kind = kind;
  show(parts["signed-out"], state === "signed out" || queue.problem?.status === 401);
  show(parts["other-person"], waits > 0 && state === "other person");
  show(parts.fleeting, !lasting());
  const left = typeof queue.left === "number" ? ` · ${queue.left.toLocaleString("en")} left` : "";
  const broken = queue.notShown ? ` · ${counted(queue.notShown, "image")} could not be shown` : "";
  parts.count.textContent = `${(me.votes + mine).toLocaleString("en")} by you${left}${broken}`;
  showRefused();
}

function showRefused() {
  const refused = outbox.refused;
  if (parts.refused.dataset.keys === refused.map((one) => one.vote.key).join()) return;
  parts.refused.dataset.keys = refused.map((one) => one.vote.key).join();
  parts.refused.replaceChildren(...refused.map(({ vote, refused: why }) => html("li", { class: "error" },
    html("p", { class: "found" }, `Your vote on ${vote.subject} was not taken: ${why.found}`),
    why.expected && html("p", {}, `Expected: ${why.expected}`),
    why.do && html("p", {}, html("b", {}, "What to do: "), why.do),
    html("p", { class: "choices" },
      html("button", { type: "button", onclick: () => outbox.again(vote.key) }, "Try again"), " ",
      html("button", { type: "button", class: "quiet", onclick: () => outbox.dismiss(vote.key) }, "Dismiss this vote")))));
}

// Tools

function showBand() {
  const bands = shown.subject?.bands ?? [];
  const now = bands.includes(band) ? band : bands[0] ?? "colour";
  parts["band-name"].textContent = now.replaceAll("_", " ");
  parts.band.disabled = bands.length < 2;
}

async function nextBand() {
  const { subject } = shown;
  const bands = subject?.bands ?? [];
  if (bands.length < 2) return;
  band = bands[(Math.max(0, bands.indexOf(band)) + 1) % bands.length];
  keep("morphoscope-band", band);
  showBand();
  const { at } = glass;
  const found = await imageOf(subject);
  if (!found || shown.subject !== subject) return;
  glass.open(found.bitmap);
  glass.place(at);
}

function reset() {
  glass.reset();
  development.reset();
  say("View reset.");
}

const tools = {
  closer: () => glass.enlarge(1.2),
  further: () => glass.enlarge(1 / 1.2),
  anticlockwise: () => glass.turn(5),
  clockwise: () => glass.turn(-5),
  band: nextBand,
  invert: () => {
    development.set({ invert: !development.now.invert });
    parts.invert.setAttribute("aria-pressed", String(development.now.invert));
  },
  contrast: () => {
    parts.developing.open = !parts.developing.open;
    if (parts.developing.open) parts.contrast.focus();
  },
  reset,
  reject: () => openReject(),
  note: () => openNote(),
  undo,
  help: () => parts.help.showModal(),
  redraw: () => task.redraw?.(),
  confirm: () => task.confirm?.(),
  back: () => task.back(),
};

const KEYS = {
  "+": "closer", "=": "closer", "-": "further", "_": "further", "[": "anticlockwise", "]": "clockwise",
  b: "band", i: "invert", c: "contrast", 0: "reset", x: "reject", n: "note", u: "undo", "?": "help",
  r: "redraw", Backspace: "back",
};
const REPEATING = ["closer", "further", "anticlockwise", "clockwise"];

function onKey(event) {
  if ($("dialog[open]")) return;
  const undoing = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z";
  if ((event.ctrlKey || event.metaKey || event.altKey) && !undoing) return;
  const field = event.target.closest?.("input, textarea, select");
  if (field) return field.type === "range" && leaveSlider(event);
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  const name = undoing ? "undo" : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (task && shown.subject && !undoing && task.key(event)) return event.preventDefault();
  if (!name || (event.repeat && !REPEATING.includes(name)) || !ready(name)) return;
  event.preventDefault();
  tools[name]();
}

function leaveSlider(event) {
  if (!["Escape", "Enter", "c"].includes(event.key)) return;
  event.preventDefault();
  parts.developing.open = false;
  task.focus();
}

const ready = (name) => name === "help" || (outbox && (name === "undo" || shown.subject));

// Dialogs

function openReject(ticked = null) {
  const boxes = $$("input", parts.reasons);
  const former = shown.former?.content.reject ?? [];
  boxes.forEach((box, at) => (box.checked = at === ticked || (ticked === null && former.includes(box.value))));
  canReject();
  parts.reject.showModal();
  (boxes[ticked ?? 0] ?? parts.reject).focus();
}

const reasons = () => $$("input:checked", parts.reasons).map((box) => box.value);
const canReject = () => (parts["reject-send"].disabled = !reasons().length);

function rejectKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const box = $$("input", parts.reasons)[Number(event.key) - 1];
  if (box) box.click();
  if (event.key === "Enter" && !event.target.closest("button") && reasons().length) parts["reject-form"].requestSubmit();
  else if (!box) return;
  event.preventDefault();
}

function sendReject(event) {
  event.preventDefault();
  if (!reasons().length || !answerable()) return;
  const chosen = reasons();
  parts.reject.close();
  const words = $$("input:checked", parts.reasons).map((box) => box.dataset.text.toLowerCase()).join(", ");
  cast({ reject: chosen }, `Rejected: ${words}`);
}

function openNote() {
  parts["note-text"].value = shown.note;
  parts["note-dialog"].showModal();
}

function takeNote(event) {
  event.preventDefault();
  shown.note = parts["note-text"].value.trim().slice(0, 500);
  parts["note-dialog"].close();
  showNote();
}

function showNote() {
  parts.note.setAttribute("aria-pressed", String(Boolean(shown.note)));
  parts["note-says"].textContent = shown.note ? "Note ✓" : "Note";
}

function reasonBoxes(found) {
  parts.reasons.replaceChildren(...found.map(({ key, text }, at) => html("label", { class: "check" },
    html("input", { type: "checkbox", value: key, "data-text": text, onchange: canReject }),
    html("span", {}, at < 9 && html("kbd", {}, String(at + 1)), ` ${text}`))));
}

// The beginning

async function begin() {
  parts.busy.textContent = "Opening the campaign…";
  try {
    const [about, { person }] = await Promise.all([label(""), label("/me")]);
    if (!person) return location.replace(page("sign-in"));
    open(about, person);
  } catch (error) {
    tell(parts.error, error);
    if (error.status === 401) location.replace(page("sign-in"));
    else if (!(error instanceof Refused) || error.status === 404) throw error;
    else setTimeout(begin, 4000);
    return;
  }
  parts.busy.textContent = "";
  tell(parts.error, null);
}

function open(about, person) {
  me = person;
  signedInAs(campaign, person.id);
  history = new History(`${campaign}:${person.id}`);
  outbox = new Outbox(campaign, person.id, news);
  const unsent = () => outbox.entries().map((one) => one.vote.subject);
  queue = new Queue({ mode, first, unsent, band: () => band, changed: news });
  const doing = { parts, cast, say, reject: openReject, reasons: about.reject ?? [], answerable };
  task = about.task === "tree" ? new Tree(about.tree, doing) : new Inclination(about.standards, doing);
  reasonBoxes(about.reject ?? []);
  show(parts.rejecting, (about.reject ?? []).length > 0);
  show(parts["to-dashboard"], person.role === "coordinator");
  show(parts.hint, !read(HINT));
  rest();
  outbox.start();
  queue.fill();
  news();
  say("");
}

once();
parts.reject.addEventListener("keydown", rejectKey);
parts["reject-form"].addEventListener("submit", sendReject);
parts["note-form"].addEventListener("submit", takeNote);
parts["note-text"].addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) takeNote(event);
});
for (const button of $$("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
for (const button of $$("[data-tool]")) {
  button.addEventListener("click", (event) => {
    if (!ready(button.dataset.tool)) return;
    tools[button.dataset.tool]();
    // After a click Enter confirms the galaxy; who came with the Tab key stays on the button.
    if (event.detail && !$("dialog[open]")) task?.focus();
  });
}
parts["hint-away"].addEventListener("click", () => {
  keep(HINT, true);
  show(parts.hint, false);
  task?.focus();
});
document.addEventListener("keydown", onKey);
addEventListener("storage", (event) => {
  // Voted on in another tab: not once more in this one.
  const vote = event.key?.startsWith(`morphoscope-vote:${campaign}:`) && event.newValue ? JSON.parse(event.newValue).vote : null;
  if (vote && vote.subject !== shown.subject?.id) queue?.drop(vote.subject);
});
begin().finally(() => (document.documentElement.dataset.ready = ""));
