// The campaigns of this server, and how far each is.

import { $, $$ } from "./dom.js";
import { other } from "./label-ask.js";
import { progress } from "./label-plots.js";
import { counted } from "./label-session.js";

async function fill(card) {
  const { name } = card.dataset;
  const { n = 0, done = 0, votes = 0, people } = await other(`/campaigns/${encodeURIComponent(name)}/progress`);
  $(".so-far", card).replaceChildren(progress(done, n), typeof people === "number" ? ` ${counted(votes, "vote")} by ${people === 1 ? "one person" : `${people} people`}` : ` ${counted(votes, "vote")}`);
}

// Without them the page is as useful.
await Promise.allSettled($$("[data-name]").map(fill));
document.documentElement.dataset.ready = "";
