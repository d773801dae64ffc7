// The galaxy under a glass: all of the viewer's ways, a ring to turn it by, and how it is developed.

import { $ } from "./dom.js";
import { Viewer } from "./viewer.js";

// In shares of the window's side, from its middle.
const RING = 0.43;
const AS_IT_CAME = { contrast: 1, brightness: 1, invert: false };

export class Glass extends Viewer {
  /** @param ring the drawn ring, whose knob turns with the image */
  constructor(canvas, ring, changed) {
    super(canvas, (at) => {
      $("g", ring).setAttribute("transform", `rotate(${-at.turn} 50 50)`);
      changed(at);
    });
    this.byRing = false;
  }

  pointerdown(event) {
    const [x, y] = this.spot(event);
    this.byRing = this.fingers.size === 0 && Math.hypot(x, y) > RING;
    super.pointerdown(event);
  }

  pointermove(event) {
    const was = this.fingers.get(event.pointerId);
    if (!was || !this.byRing || this.fingers.size > 1) return super.pointermove(event);
    const now = this.spot(event);
    this.fingers.set(event.pointerId, now);
    this.turn(((Math.atan2(was[1], was[0]) - Math.atan2(now[1], now[0])) * 180) / Math.PI);
  }

  // The page gives keys their meaning: the galaxy need not be focused.
  key() {}
}

/** How images are developed: contrast, brightness, inverted or not; the standards as the galaxy. */
export class Development {
  constructor(element, sliders) {
    Object.assign(this, { element, sliders, now: { ...AS_IT_CAME } });
    for (const [name, slider] of Object.entries(sliders)) {
      slider.addEventListener("input", () => this.set({ [name]: Number(slider.value) }));
    }
  }

  set(change) {
    Object.assign(this.now, change);
    const { contrast, brightness, invert } = this.now;
    for (const [name, slider] of Object.entries(this.sliders)) slider.value = this.now[name];
    const filters = [invert && "invert(1)", brightness !== 1 && `brightness(${brightness})`, contrast !== 1 && `contrast(${contrast})`];
    this.element.style.setProperty("--developed", filters.filter(Boolean).join(" ") || "none");
  }

  reset() {
    this.set(AS_IT_CAME);
  }
}
