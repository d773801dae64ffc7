// A sitting: how long a galaxy was looked at, and which votes can be taken back.

const MOST = 30;

export const counted = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

/** Seconds that a galaxy was in front of a person; not those while the tab was hidden. */
export class Clock {
  constructor() {
    this.begin();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.spent += performance.now() - this.since;
      this.since = performance.now();
    });
  }

  begin() {
    this.spent = 0;
    this.since = performance.now();
  }

  seconds() {
    return Number(((this.spent + performance.now() - this.since) / 1000).toFixed(2));
  }
}

/** The last votes of this tab with their galaxies; they outlive a reload, not the tab. */
export class History {
  constructor(name) {
    this.name = `morphoscope-history:${name}`;
    try {
      this.votes = JSON.parse(sessionStorage.getItem(this.name)) ?? [];
    } catch {
      this.votes = [];
    }
  }

  get length() {
    return this.votes.length;
  }

  push({ subject, vote }) {
    const { id, image, bands, why } = subject;
    this.votes = [...this.votes, { subject: { id, image, bands, why }, vote }].slice(-MOST);
    this.keep();
  }

  pop() {
    const last = this.votes.pop();
    this.keep();
    return last;
  }

  keep() {
    try {
      sessionStorage.setItem(this.name, JSON.stringify(this.votes));
    } catch {
      // Then a vote can be taken back until the page is loaded again.
    }
  }
}
