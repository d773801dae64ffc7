// A kept answer: the same drawings as when it was asked.

import { ask, tell } from "./ask.js";
import { across, render } from "./answer.js";
import { $ } from "./dom.js";
import { bearings } from "./drawings.js";

const target = $("#answer");

try {
  const answer = await ask(`/results/${encodeURIComponent(target.dataset.result)}`);
  render(target, answer);
  const wide = across(answer);
  if (wide) $("#bearings").replaceChildren(bearings(answer.placement.turn, wide));
} catch (error) {
  // What the server wrote into the page stays.
  tell($("#error"), error);
}
$("#address").value = location.href;
document.documentElement.dataset.ready = "";
