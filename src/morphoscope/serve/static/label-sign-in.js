// Join, sign in, or come by a link. The link's token stands behind the # and so reaches no log.

import { tell } from "./ask.js";
import { $$, show } from "./dom.js";
import { campaign, label, page, write } from "./label-ask.js";
import { signedInAs, waitingHere } from "./label-outbox.js";
import { counted } from "./label-session.js";

const parts = Object.fromEntries($$("[id]").map((one) => [one.id, one]));
const fragment = new URLSearchParams(location.hash.slice(1));
const link = fragment.get("link");
if (location.hash) history.replaceState(null, "", location.pathname + location.search);

async function enter(event, route, body) {
  event?.preventDefault();
  const button = event?.submitter;
  if (button) button.disabled = true;
  tell(parts.error, null);
  try {
    const { person } = await write(route, body);
    signedInAs(campaign, person.id);
    location.assign(page(person.role === "coordinator" ? "dashboard" : ""));
  } catch (error) {
    if (button) button.disabled = false;
    tell(parts.error, error);
    parts.error.setAttribute("tabindex", "-1");
    parts.error.focus();
  }
}

const given = (form) => Object.fromEntries([...new FormData(form)].filter(([, value]) => value).map(([name, value]) => [name, String(value)]));

async function leave() {
  try {
    await write("/sign-out");
    signedInAs(campaign, null);
    location.reload();
  } catch (error) {
    tell(parts.error, error);
  }
}

async function begin() {
  try {
    const { person, join } = await label("/me");
    signedInAs(campaign, person?.id ?? null);
    show(parts.here, Boolean(person) && !link);
    if (person) parts["here-as"].textContent = person.anonymous ? "without a name" : `as ${person.name}`;
    show(parts["by-link"], Boolean(link));
    show(parts.anonymous, join === "anonymous" && !person && !link);
    show(parts.joining, join !== "invited" && !person && !link);
    show(parts.signing, !person && !link);
    show(parts.invited, join === "invited" && !person && !link);
    const waits = waitingHere(campaign);
    show(parts.waits, waits > 0 && !person);
    parts.waits.textContent = `${counted(waits, "vote")} ${waits === 1 ? "waits" : "wait"} on this device and will be sent when the person who made ${waits === 1 ? "it" : "them"} has signed in.`;
  } catch (error) {
    tell(parts.error, error);
  }
}

parts["by-link"].addEventListener("submit", (event) => enter(event, "/sign-in", { link, ...given(parts["by-link"]) }));
parts.anonymous.addEventListener("submit", (event) => enter(event, "/join", {}));
parts.joining.addEventListener("submit", (event) => enter(event, "/join", given(parts.joining)));
parts.signing.addEventListener("submit", (event) => enter(event, "/sign-in", given(parts.signing)));
parts.leave.addEventListener("click", leave);
await begin();
document.documentElement.dataset.ready = "";
