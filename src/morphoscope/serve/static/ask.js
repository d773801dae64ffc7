// Ask the server, and say what went wrong in its own words.

import { html } from "./dom.js";

const PREFIX = "/api/v1";
const KEY = "morphoscope-token";

/** What the server, or the way to it, refused. */
export class Refused extends Error {
  constructor(status, { found, expected = "", do: todo = "" }) {
    super(found);
    Object.assign(this, { status, found, expected, todo });
  }
}

export const keptToken = () => sessionStorage.getItem(KEY) ?? "";
export function keepToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

async function refusal(response) {
  try {
    return new Refused(response.status, (await response.json()).error);
  } catch {
    const found = `The server answered ${response.status} ${response.statusText}.`.replace(" .", ".");
    return new Refused(response.status, { found, do: "Try again in a minute." });
  }
}

async function asked(path, { method = "GET", query = {}, body, signal } = {}) {
  const wanted = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const address = PREFIX + path + (wanted.length ? `?${new URLSearchParams(wanted)}` : "");
  const headers = { Accept: "application/json" };
  if (keptToken()) headers.Authorization = `Bearer ${keptToken()}`;
  if (body && !(body instanceof FormData)) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(address, { method, headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { found: "The server cannot be reached.", do: "Check the connection, then try again." });
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** JSON of a route of the API; nothing where it answers nothing. */
export async function ask(path, options) {
  const response = await asked(path, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** An image of a route of the API, and what its headers say of it. */
export async function askImage(path, options) {
  const response = await asked(path, options);
  const told = (name) => response.headers.get(`X-${name}`);
  const number = (name) => (told(name) === null ? null : Number(told(name)));
  return { blob: await response.blob(), ra: number("ra"), dec: number("dec"), northUp: told("north-up") === "True", from: told("source") };
}

/** Show an error in an element, or clear it. */
export function tell(element, error) {
  element.replaceChildren();
  element.hidden = !error;
  if (!error) return;
  const known = error instanceof Refused ? error : { found: `This page broke down: ${error.message}`, todo: "Load it again." };
  element.append(html("p", { class: "found" }, sentence(known.found)));
  if (known.expected) element.append(html("p", {}, `Expected: ${sentence(known.expected)}`));
  if (known.todo) element.append(html("p", {}, html("b", {}, "What to do: "), sentence(known.todo)));
  element.scrollIntoView({ block: "nearest" });
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
