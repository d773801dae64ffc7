// The next galaxies, with their images, before they are wanted.

import { label } from "./label-ask.js";
import { image, inBand } from "./label-images.js";

const AHEAD = 5;
// Asked for again when so few are left: one request a few galaxies, not one each.
const FEW = 3;
const MOST_HELD = 50;
const WAIT_MS = [1000, 20_000];
const IMAGE_WAIT_MS = 3000;
// How the server itself says that a file is not there or no image, and how often it may fail at one.
const BROKEN = [404, 415, 422];
const FAILURES = 3;

export class Queue {
  /**
   * @param mode "queue" or "disputes"
   * @param first id of the dispute that comes before all others
   * @param unsent ids of galaxies whose votes the server does not know yet
   * @param band the band that is looked at
   * @param changed called when there is news: galaxies, none, or no connection
   */
  constructor({ mode, first, unsent, band, changed }) {
    Object.assign(this, { mode, first, unsent, band, changed, coming: [], shown: null, done: false, problem: null, left: null, unreadable: 0 });
    this.voted = new Set();
    this.broken = new Set();
    this.wait = WAIT_MS[0];
    addEventListener("online", () => this.fill());
  }

  /** The next galaxy whose image is here, or null. */
  take() {
    const at = Math.max(0, this.coming.findIndex((one) => one.ready));
    const subject = this.coming[at]?.ready ? this.coming.splice(at, 1)[0] : null;
    this.shown = subject;
    this.fill();
    return subject;
  }

  /** What was shown comes again, after a galaxy whose vote was taken back. */
  back(subject) {
    if (subject) this.coming.unshift(subject);
  }

  drop(id, why = this.voted) {
    why.add(id);
    this.coming = this.coming.filter((one) => one.id !== id);
    this.fill();
  }

  /** Galaxies that the server cannot know to be taken, or that cannot be shown (the last of them first). */
  held() {
    const broken = [...this.broken].reverse();
    return [...new Set([...this.coming.map((one) => one.id), this.shown?.id, ...broken, ...this.unsent()].filter(Boolean))];
  }

  async fill() {
    clearTimeout(this.timer);
    if (this.filling || this.coming.length > FEW) return;
    this.filling = true;
    try {
      const held = this.held().slice(0, MOST_HELD).map((id) => ["held", id]);
      this.received(await label("/next", { query: [["n", AHEAD], ["mode", this.mode], ["first", this.first], ...held] }));
    } catch (error) {
      this.problem = error;
      this.again(error);
    } finally {
      this.filling = false;
    }
    this.changed();
  }

  /** How many images could not be shown, here or to others. */
  get hidden() {
    return Math.max(this.broken.size, this.unreadable);
  }

  received({ subjects, left, done, unreadable = 0 }) {
    this.problem = null;
    const known = new Set([...this.held(), ...this.voted]);
    const fresh = subjects.filter((one) => !known.has(one.id));
    if (fresh.length) this.wait = WAIT_MS[0];
    Object.assign(this, { left, unreadable, done: done || !subjects.length });
    this.coming.push(...fresh);
    fresh.forEach((one) => this.fetch(one));
    if (!this.done && !this.coming.length) this.again({});
  }

  again(error) {
    if (error.status === 401) return;
    this.wait = Math.min(WAIT_MS[1], 2 * this.wait);
    this.timer = setTimeout(() => this.fill(), this.wait * (0.75 + 0.5 * Math.random()));
  }

  async fetch(subject) {
    try {
      await image(inBand(subject, this.band()));
      subject.ready = true;
    } catch (error) {
      this.failed(subject, error);
    }
    this.changed();
  }

  failed(subject, error) {
    subject.failures = (subject.failures ?? 0) + (error.code === "failed" ? 1 : 0);
    const broken = (error.code && BROKEN.includes(error.status)) || subject.failures >= FAILURES;
    if (!broken) {
      this.problem = error;
      setTimeout(() => this.coming.includes(subject) && this.fetch(subject), IMAGE_WAIT_MS);
      return;
    }
    // A file that is broken stays so: others come in its place.
    this.drop(subject.id, this.broken);
  }
}
