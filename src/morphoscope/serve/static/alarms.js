// The queue of answers that people should look at: settle one, or open it again.

import { ask, tell } from "./ask.js";
import { $, html, show } from "./dom.js";
import { withToken } from "./token.js";
import { moment, plain } from "./words.js";

const queue = $("#queue");
const { state } = queue.dataset;
const [next, label, done] = state === "open" ? ["seen", "Mark as seen", "Marked as seen."] : ["open", "Open again", "Opened again."];

function item(alarm) {
  const page = `/r/${encodeURIComponent(alarm.result)}`;
  const picture = `/api/v1/results/${encodeURIComponent(alarm.result)}/image.jpg`;
  const one = html("li", { class: "card" },
    html("a", { href: page }, html("img", { src: picture, alt: `Image of the answer of ${moment(alarm.created)}`, width: 120, height: 120, loading: "lazy" })),
    html("div", {},
      html("p", {}, alarm.text),
      html("p", { class: "small" }, `${plain(alarm.kind)} · ${moment(alarm.created)} UTC · `, html("a", { href: page }, "the answer")),
      html("button", { type: "button", class: "quiet", onclick: (event) => settle(alarm, one, event.currentTarget) }, label)));
  return one;
}

async function settle(alarm, one, button) {
  button.disabled = true;
  try {
    await ask(`/alarms/${encodeURIComponent(alarm.id)}`, { method: "POST", body: { state: next } });
    const near = one.nextElementSibling ?? one.previousElementSibling;
    one.remove();
    (near ? $("button", near) : $("h1")).focus();
    $("#busy").textContent = done;
    show($("#none"), !queue.children.length);
    tell($("#error"), null);
  } catch (error) {
    button.disabled = false;
    tell($("#error"), error);
  }
}

async function list() {
  try {
    const { alarms } = await ask("/alarms", { query: { state } });
    queue.replaceChildren(...alarms.map(item));
    show($("#none"), !alarms.length);
    tell($("#error"), null);
  } catch (error) {
    tell($("#error"), error);
  }
}

if (!withToken(list)) list();
document.documentElement.dataset.ready = "";
