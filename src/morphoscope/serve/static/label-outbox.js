// Votes on their way. Each is kept in the browser before it is sent and forgotten when the server has
// counted it; a vote has one key for ever, so that sending it twice is harmless.
//
// One name a vote: two tabs that write at the same time cannot overwrite each other's.

import { stranger, write } from "./label-ask.js";
import { forget, keep, names, read } from "./label-kept.js";

const BATCH = 50;
// A request of words may have 100 kB.
const BATCH_CHARACTERS = 60_000;
const FIRST_WAIT_MS = 1500;
const LONGEST_WAIT_MS = 60_000;
// Only the server's own word about a vote is final: the way to it refuses with all kinds of numbers.
const FINAL = { status: [400, 422], code: ["bad_vote", "bad_value"] };
const OUTCOMES = ["counted", "known", "refused"];

const prefix = (campaign, person) => `morphoscope-vote:${campaign}:${person}:`;
const whose = (campaign) => `morphoscope-person:${campaign}`;

/** Tell all tabs who is signed in: nobody's votes may go out under another's name. */
export const signedInAs = (campaign, person) => keep(whose(campaign), person);

/** Votes that wait on this device, of anybody. */
export const waitingHere = (campaign) => names(`morphoscope-vote:${campaign}:`).length;

/** Forget the votes of a person that are here. */
export const forgetVotes = (campaign, person) => names(prefix(campaign, person)).forEach(forget);

export class Outbox {
  /** @param changed called whenever something was added, sent, refused or has failed */
  constructor(campaign, person, changed) {
    Object.assign(this, { campaign, person, changed, state: "idle", wait: FIRST_WAIT_MS, timer: null, sending: null, last: 0, problem: "" });
    this.prefix = prefix(campaign, person);
  }

  /** Begin to send, now and whenever there is reason to hope. */
  start() {
    addEventListener("online", () => this.send());
    document.addEventListener("visibilitychange", () => document.hidden || this.send());
    addEventListener("storage", (event) => {
      if (event.key?.startsWith(this.prefix)) this.changed();
      // Somebody signed in or out in another tab.
      if (event.key === whose(this.campaign)) this.send();
    });
    this.send();
  }

  entries() {
    return names(this.prefix).map(read).filter((one) => one?.vote?.key).sort((a, b) => a.at - b.at);
  }

  get waiting() {
    return this.entries().filter((one) => !one.refused);
  }

  get refused() {
    return this.entries().filter((one) => one.refused);
  }

  entry(key) {
    return read(this.prefix + key);
  }

  put(entry) {
    keep(this.prefix + entry.vote.key, entry);
  }

  remove(key) {
    forget(this.prefix + key);
  }

  /** Later than all before, also within one millisecond. */
  now() {
    this.last = Math.max(Date.now(), this.last + 0.001);
    return this.last;
  }

  add(vote) {
    this.put({ at: this.now(), vote });
    this.changed();
    this.send();
  }

  /** Take a vote back, wherever it is: here, on its way, or counted. */
  undo(vote) {
    const entry = this.entry(vote.key);
    if (entry && (entry.refused || !entry.tried)) this.remove(vote.key);
    else this.put({ ...(entry ?? { at: this.now(), vote, tried: true, sent: true }), undo: true });
    this.changed();
    this.send();
  }

  /** Send a vote once more that was refused. */
  again(key) {
    const { refused, ...entry } = this.entry(key) ?? {};
    if (!refused) return;
    this.put(entry);
    this.changed();
    this.send();
  }

  dismiss(key) {
    this.remove(key);
    this.changed();
  }

  /** Send all that waits; again and again, ever more seldom, until it is away. */
  async send() {
    clearTimeout(this.timer);
    this.sending ??= this.round().finally(() => (this.sending = null));
    await this.sending;
  }

  async round() {
    try {
      if (navigator.locks) await navigator.locks.request(this.prefix, () => this.empty());
      else await this.empty();
      this.state = "idle";
      this.wait = FIRST_WAIT_MS;
    } catch (error) {
      this.failed(error);
    }
    this.changed();
  }

  failed(error) {
    if (error.status === undefined) console.error(error);
    this.state = stateOf(error);
    this.problem = error.found ?? "this page broke down";
    const wait = Math.max(this.wait, 1000 * (error.again ?? 0)) * (0.75 + 0.5 * Math.random());
    this.wait = Math.min(LONGEST_WAIT_MS, 2 * this.wait);
    this.timer = setTimeout(() => this.send(), wait);
  }

  async empty() {
    for (let waiting = this.waiting; waiting.length; waiting = this.waiting) {
      this.known(read(whose(this.campaign)));
      if (waiting[0].undo) await this.withdraw(waiting[0]);
      else await this.deliver(batch(waiting));
      this.changed();
    }
  }

  /** Nothing is done under the name of somebody else. */
  known(person) {
    if (!person) throw { status: 401, found: "you are signed out" };
    if (person !== this.person) throw { status: 403, code: "other_person", found: "somebody else has signed in" };
  }

  async deliver(entries) {
    for (const one of entries) this.put({ ...one, tried: true });
    let answered;
    try {
      answered = await write("/votes", { votes: entries.map((one) => one.vote), person: this.person });
    } catch (error) {
      const final = FINAL.status.includes(error.status) && FINAL.code.includes(error.code);
      if (entries.length > 1 && (final || error.status === 413)) return this.oneByOne(entries);
      if (!final) throw error;
      answered = { votes: [{ key: entries[0].vote.key, state: "refused", error: { found: error.found, expected: error.expected, do: error.todo } }] };
    }
    const outcomes = outcomesOf(answered);
    for (const { vote } of entries) {
      if (!outcomes.has(vote.key)) throw stranger(200);
      this.settle(vote.key, outcomes.get(vote.key));
    }
  }

  async oneByOne(entries) {
    for (const one of entries) await this.deliver([one]);
  }

  settle(key, { state, error }) {
    // It may have been taken back meanwhile, by this tab or another.
    const entry = this.entry(key);
    if (!entry) return;
    if (state !== "refused") entry.undo ? this.put({ ...entry, sent: true }) : this.remove(key);
    else if (entry.undo) this.remove(key);
    else this.put({ ...entry, refused: error?.found ? error : { found: "The server did not take it." } });
  }

  /** A vote of which nobody knows whether it arrived is sent once more, so that there is something to withdraw. */
  async withdraw(entry) {
    const { key } = entry.vote;
    if (!entry.sent) {
      await this.deliver([entry]);
      if (!this.entry(key)) return;
    }
    try {
      await write(`/votes/${encodeURIComponent(key)}/undo`, { person: this.person });
    } catch (error) {
      const final = (error.status === 404 && error.code === "unknown") || (error.status === 403 && error.code === "forbidden");
      if (!final) throw error;
    }
    this.remove(key);
  }
}

function stateOf({ status, code }) {
  if (code === "other_person") return "other person";
  return { 401: "signed out", 0: "away" }[status] ?? "failing";
}

/** What became of each vote, by its key; only what the server can have said. */
function outcomesOf({ votes }) {
  const said = (one) => typeof one?.key === "string" && OUTCOMES.includes(one.state);
  return new Map(Array.isArray(votes) ? votes.filter(said).map((one) => [one.key, one]) : []);
}

function batch(waiting) {
  const until = waiting.findIndex((one) => one.undo);
  const votes = waiting.slice(0, until < 0 ? BATCH : Math.min(until, BATCH));
  let length = 0;
  const fitting = votes.filter((one) => (length += JSON.stringify(one.vote).length) < BATCH_CHARACTERS);
  return fitting.length ? fitting : votes.slice(0, 1);
}
