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
const UNREADABLE = 422;
const BROKEN = [404, 415, UNREADABLE];
const FAILURES = 3;
// So long an image is not asked for again that the server has and that cannot be drawn here.
const PASSED_OVER_MS = 240_000;
// So long people are told of one: the server remembers no longer that it could not read it.
const TOLD_MS = 300_000;
// Others are asked for the later the more have failed in a row, as when a disk is away.
const SLOWER_MS = 20;
const EXHAUSTED_MS = 60_000;

export class Queue {
  /**
   * @param mode "queue" or "disputes"
   * @param first id of the dispute that comes before all others
   * @param unsent ids of galaxies whose votes the server does not know yet
   * @param band the band that is looked at
   * @param changed called when there is news: galaxies, none, or no connection
   */
  constructor({ mode, first, unsent, band, changed }) {
    Object.assign(this, { mode, first, unsent, band, changed, coming: [], shown: null, done: false, exhausted: false, problem: null, left: null });
    this.voted = new Set();
    // Of images that could not be shown: when (`at`), and whether the server could not read them (`unreadable`).
    this.broken = new Map();
    this.failures = 0;
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

  /** Forget one that was voted on. */
  drop(id) {
    this.voted.add(id);
    this.remove(id);
    this.fill();
  }

  remove(id) {
    this.coming = this.coming.filter((one) => one.id !== id);
  }

  /** Galaxies that are here, or whose votes the server does not know yet. */
  here() {
    return [...this.coming.map((one) => one.id), this.shown?.id, ...this.unsent()].filter(Boolean);
  }

  /** What the server need not give: it knows which images it cannot read, not which cannot be drawn here. */
  held() {
    const passed = [...this.broken.keys()].filter((id) => this.passed(id));
    return [...new Set([...this.here(), ...passed.reverse()])];
  }

  /** Whether its image could not be drawn here a moment ago. */
  passed(id) {
    const { at, unreadable } = this.broken.get(id) ?? {};
    return !unreadable && Date.now() - at < PASSED_OVER_MS;
  }

  /** How many images could not be shown lately. */
  get notShown() {
    return [...this.broken.values()].filter(({ at }) => Date.now() - at < TOLD_MS).length;
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

  received({ subjects, left, done }) {
    this.problem = null;
    const known = new Set([...this.here(), ...this.voted]);
    const news = subjects.filter((one) => !known.has(one.id));
    const fresh = news.filter((one) => !one.unreadable && !this.passed(one.id));
    if (fresh.length) this.wait = WAIT_MS[0];
    const passed = !subjects.length && [...this.broken.keys()].some((id) => this.passed(id));
    // Those that the server could not read come when there are no others: perhaps they are back.
    this.exhausted = (passed || news.length > 0) && !fresh.length && !this.coming.length;
    const tried = this.exhausted ? news : fresh;
    Object.assign(this, { left, done: done || (!subjects.length && !passed) });
    this.coming.push(...tried);
    tried.forEach((one) => this.fetch(one));
    if (!this.done && !this.coming.length) this.again({});
  }

  again(error) {
    if (error.status === 401) return;
    this.wait = Math.min(this.exhausted ? EXHAUSTED_MS : WAIT_MS[1], 2 * this.wait);
    this.after(this.wait);
  }

  after(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fill(), wait * (0.75 + 0.5 * Math.random()));
  }

  async fetch(subject) {
    try {
      await image(inBand(subject, this.band()));
      subject.ready = true;
      this.broken.delete(subject.id);
      Object.assign(this, { failures: 0, exhausted: false });
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
    // Others come in its place.
    this.broken.delete(subject.id);
    this.broken.set(subject.id, { at: Date.now(), unreadable: error.status === UNREADABLE });
    this.remove(subject.id);
    this.failures += 1;
    if (!this.exhausted) this.after(Math.min(WAIT_MS[1], SLOWER_MS * this.failures));
    else if (!this.coming.length) this.again({});
  }
}
