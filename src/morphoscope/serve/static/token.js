// The field for a token, where the server wants one. It stays in this tab and goes with it.

import { keepToken, keptToken } from "./ask.js";
import { $ } from "./dom.js";

/** Call `changed` whenever another token is given; true where there is none yet and one is needed. */
export function withToken(changed) {
  const form = $("#token-form");
  if (!form) return false;
  const field = $("#token");
  field.value = keptToken();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(field.value.trim());
    changed();
  });
  return !keptToken();
}
