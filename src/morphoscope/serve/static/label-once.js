// What is meant once is done once: not again by the second click of a double click, nor by a key that is held.

// A second click that comes later is meant: the same answer to the next question lies at the same place.
const AGAIN_MS = 300;
const BUTTONS = "#answers button, #path button, [data-tool=confirm], [data-tool=back], [data-tool=undo], dialog button";
const HELD = `${BUTTONS}, dialog [type=checkbox]`;
let last = -Infinity;

function clicked(event) {
  const again = event.detail > 1 && event.timeStamp - last < AGAIN_MS;
  // Those that come of a key or of a script have no detail.
  if (event.detail) last = event.timeStamp;
  if (!again || !event.target.closest?.(BUTTONS)) return;
  event.preventDefault();
  event.stopPropagation();
}

/** Enter on a button clicks as often as the key repeats. */
function held(event) {
  if (event.repeat && event.key === "Enter" && event.target.closest?.(HELD)) event.preventDefault();
}

/** Watch over this page, before anything else hears of a click. */
export function once() {
  document.addEventListener("click", clicked, true);
  document.addEventListener("keydown", held, true);
}
