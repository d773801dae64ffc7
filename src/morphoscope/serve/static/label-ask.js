// Ask the label desk. The session is a cookie; a header that no other site can send says who asks.

import { Refused } from "./ask.js";

export const root = document.querySelector("#label");
export const campaign = root?.dataset.campaign ?? "";
export const page = (name = "") => `/label/${encodeURIComponent(campaign)}${name && `/${name}`}`;
const PATIENCE_MS = 25_000;

/** What was refused; its `code` is empty where not the server but a proxy or a portal has answered. */
async function refusal(response) {
  const again = Number(response.headers.get("Retry-After")) || 0;
  const told = await response.json().then((one) => one?.error, () => null);
  const ours = typeof told?.code === "string" && typeof told.found === "string";
  const words = ours ? told : { found: `The server answered ${response.status}.`, do: "Try again in a minute." };
  return Object.assign(new Refused(response.status, words), { code: ours ? told.code : "", again });
}

/** Response of a route below the API; `Refused` with status 0 where nobody answers in time. */
export async function reach(address, { method = "GET", query = [], body } = {}) {
  const wanted = new URLSearchParams(query).toString();
  const headers = { Accept: "application/json, image/*" };
  if (method !== "GET") headers["X-Morphoscope"] = "label";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  let response;
  try {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(address + (wanted && `?${wanted}`), { method, headers, body: sent, signal: patience.signal });
    if (response.ok) return { response, blob: await response.blob() };
  } catch {
    throw new Refused(0, { found: "The server cannot be reached.", do: "Check the connection; it is tried again." });
  } finally {
    clearTimeout(timer);
  }
  throw await refusal(response);
}

/** Something answered that is not the server: a portal of the network, or a proxy. */
export const stranger = (status) => new Refused(status, {
  found: "Something on the way answers in the server's place.",
  do: "See whether the network wants you to sign in; it is tried again.",
});

async function json({ response, blob }) {
  const told = await blob.text().then(JSON.parse).catch(() => null);
  if (typeof told !== "object" || told === null) throw stranger(response.status);
  return told;
}

/** JSON of a route of this page's campaign. */
export const label = async (path, options) => json(await reach(`/api/v1/campaigns/${encodeURIComponent(campaign)}${path}`, options));
/** The same, of a route that writes. */
export const write = (path, body = {}) => label(path, { method: "POST", body });
/** JSON of any route of the API. */
export const other = async (path, options) => json(await reach(`/api/v1${path}`, options));

/** A random UUID; the browser's own is there on HTTPS only. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
