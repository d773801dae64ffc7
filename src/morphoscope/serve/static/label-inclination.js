// Inclination by comparison with standard galaxies (after Kourkchi et al. 2020): a row in steps of five
// degrees, then one in steps of one degree; the galaxy goes between the two that it lies between.

import { $, $$, html } from "./dom.js";
import { ahead, image } from "./label-images.js";
import { disc } from "./label-drawings.js";

const STEP = 5;
const WINDOW = 10;
const EDGE_ON = 90;
const narrow = matchMedia("(max-width: 48rem)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Inclination {
  constructor(standards, { parts, cast, say, reject, reasons, answerable }) {
    Object.assign(this, { parts, cast, say, reject, answerable, standards, example: 0, fine: false, place: 0, former: null });
    const known = Object.keys(standards.images ?? {}).map(Number);
    const all = [...new Set([...(standards.angles ?? []), ...known])].sort((a, b) => a - b);
    this.least = standards.least ?? all[0];
    this.coarse = all.filter((angle) => angle % STEP === 0);
    this.all = Array.from({ length: EDGE_ON - this.least + 1 }, (_, at) => this.least + at);
    this.angles = this.coarse;
    this.canReject = reasons.some((one) => one.key === "face_on");
    this.hands();
    this.fetch(this.coarse);
  }

  // The row

  begin(content) {
    this.former = content;
    const angle = content?.inclination;
    if (typeof angle === "number") this.closer(angle);
    else this.wide(content?.reject?.includes("face_on") ? 0 : Math.ceil(this.coarse.length / 2));
    if (content?.reject) this.say(`You had rejected it: ${content.reject.join(", ").replaceAll("_", " ")}.`);
  }

  wide(place) {
    this.fine = false;
    this.row(this.coarse, place);
  }

  /** The row of single degrees round an angle. */
  closer(angle) {
    this.fine = true;
    const begun = Math.round(angle - STEP + 0.01);
    const from = Math.max(this.least, Math.min(EDGE_ON + 1 - WINDOW, begun));
    const angles = this.all.filter((one) => one >= from && one < from + WINDOW);
    this.row(angles, angles.filter((one) => one < angle).length);
  }

  row(angles, place) {
    this.angles = angles;
    this.fetch(angles);
    for (const tile of $$(".tile", this.parts.standards)) tile.remove();
    this.parts.standards.prepend(...angles.map((angle, at) => this.tile(angle, at)));
    this.parts.slot.setAttribute("aria-valuemax", String(angles.length));
    this.moveTo(Math.max(0, Math.min(angles.length, place)), "auto");
  }

  tile(angle, at) {
    const picture = html("span", { class: "standard" }, disc(angle));
    this.fill(picture, angle);
    const tile = html("div", { class: "tile", "data-angle": angle }, picture, html("span", { class: "angle" }, `${angle}°`));
    tile.style.order = 2 * at + 1;
    return tile;
  }

  address(angle) {
    const examples = this.standards.images?.[String(angle)] ?? [];
    return examples.length ? examples[(this.example + angle) % examples.length] : null;
  }

  async fill(picture, angle) {
    const url = this.address(angle);
    picture.dataset.url = url ?? "";
    if (!url) return;
    try {
      const { address } = await image(url);
      if (picture.dataset.url !== url) return;
      picture.replaceChildren(html("img", { class: "developed", src: address, alt: `Standard galaxy of ${angle}°`, draggable: "false" }));
    } catch {
      // The drawn disc of that tilt stays in its place.
    }
  }

  fetch(angles) {
    ahead(angles.map((angle) => this.address(angle)).filter(Boolean));
  }

  redraw() {
    this.example += 1;
    this.fetch(this.coarse);
    for (const tile of $$(".tile", this.parts.standards)) this.fill($(".standard", tile), Number(tile.dataset.angle));
    this.beside();
    this.say("Other standards.");
  }

  // Where the galaxy stands

  get left() {
    return this.angles[this.place - 1] ?? null;
  }

  get right() {
    return this.angles[this.place] ?? null;
  }

  get faceOn() {
    return this.left === null && this.right === this.least;
  }

  get angle() {
    if (this.left === null) return this.right - (this.fine ? 0.5 : STEP / 2);
    if (this.right === null) return Math.min(EDGE_ON, this.left + (this.fine ? 0.5 : STEP / 2));
    return (this.left + this.right) / 2;
  }

  moveTo(place, behavior = calm.matches ? "auto" : "smooth") {
    this.place = place;
    // Not moved in the document: there it would lose the focus and the pointer that holds it.
    this.parts.slot.style.order = 2 * place;
    if (narrow.matches) this.scrollTo(place, behavior);
    this.tell();
  }

  step(by) {
    const place = this.place + by;
    const beyond = this.fine && (by < 0 ? place < 1 && this.angles[0] > this.least : place > this.angles.length - 1 && this.angles.at(-1) < EDGE_ON);
    if (beyond) return this.closer(this.angle + by);
    this.moveTo(Math.max(0, Math.min(this.angles.length, place)));
  }

  tell() {
    const words = this.faceOn
      ? `less than ${this.least}°: face-on`
      : this.left === null ? `less than ${this.right}°` : this.right === null ? `more than ${this.left}°` : `between ${this.left}° and ${this.right}°`;
    const sent = this.faceOn ? "Face-on: save" : this.fine ? `${this.angle}°: save` : "Look closer";
    this.parts.reading.textContent = this.fine && !this.faceOn && this.left !== null && this.right !== null ? `${this.angle}°, ${words}` : words[0].toUpperCase() + words.slice(1);
    this.parts["confirm-says"].textContent = sent;
    this.parts.confirm.disabled = this.faceOn && !this.canReject;
    this.parts.slot.setAttribute("aria-valuenow", String(this.place));
    this.parts.slot.setAttribute("aria-valuetext", words);
    this.parts.back.disabled = !this.fine;
    this.parts["row-says"].textContent = this.fine ? "Steps of 1°" : "Steps of 5°";
    this.beside();
  }

  /** The two neighbours, large, beside the galaxy. */
  beside() {
    for (const [id, angle, none] of [["beside-left", this.left, "face-on"], ["beside-right", this.right, "edge-on"]]) {
      const [picture, says] = [$(".standard", this.parts[id]), $("figcaption", this.parts[id])];
      says.textContent = angle === null ? none : `${angle}°`;
      if (picture.dataset.angle !== String(angle)) picture.replaceChildren(...(angle === null ? [] : [disc(angle)]));
      picture.dataset.angle = String(angle);
      if (angle !== null) this.fill(picture, angle);
    }
  }

  /** The galaxy in the row looks as it does under the glass. */
  placed(canvas) {
    const small = this.parts["slot-view"];
    if (small.width !== 192) small.width = small.height = 192;
    small.getContext("2d").drawImage(canvas, 0, 0, 192, 192);
  }

  // Sent, or looked at more closely

  confirm() {
    if (!this.answerable()) return;
    if (this.faceOn) return this.cast({ reject: ["face_on"] }, "Face-on");
    if (!this.fine) return this.closer(this.angle);
    this.cast({ inclination: this.angle }, `${this.angle}°`);
  }

  back() {
    if (!this.fine) return;
    const { angle } = this;
    this.wide(this.coarse.filter((one) => one < angle).length);
  }

  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) this.step(by * (event.shiftKey ? 3 : 1));
    else if (event.key === "Home") this.moveTo(0);
    else if (event.key === "End") this.moveTo(this.angles.length);
    else if (event.key === "Enter") event.repeat || this.confirm();
    else if (/^[1-9]$/.test(event.key)) event.repeat || this.reject(Number(event.key) - 1);
    else return false;
    return true;
  }

  focus() {
    this.parts[narrow.matches ? "standards" : "slot"].focus({ preventScroll: true });
  }

  // Hands: on a wide page the galaxy is dragged along the row, on a narrow one the row under it

  hands() {
    const { slot, standards } = this.parts;
    slot.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      slot.setPointerCapture(event.pointerId);
      slot.classList.add("held");
    });
    slot.addEventListener("pointermove", (event) => slot.hasPointerCapture(event.pointerId) && this.dragged(event.clientX));
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) slot.addEventListener(kind, () => this.dropped());
    standards.addEventListener("click", (event) => this.clicked(event));
    for (const kind of ["pointerdown", "touchstart", "wheel"]) {
      standards.addEventListener(kind, () => (this.touched = true), { passive: true });
    }
    standards.addEventListener("scroll", () => narrow.matches && this.touched && this.scrolled());
    standards.addEventListener("scrollend", () => narrow.matches && !this.touched && this.scrollTo(this.place, "auto"));
    narrow.addEventListener("change", () => this.moveTo(this.place, "auto"));
  }

  dragged(x) {
    const { slot } = this.parts;
    const middles = $$(".tile", this.parts.standards).map((tile) => {
      const box = tile.getBoundingClientRect();
      return (box.left + box.right) / 2;
    });
    const place = middles.filter((middle) => middle < x).length;
    if (place !== this.place) this.moveTo(place);
    slot.style.transform = "";
    const box = slot.getBoundingClientRect();
    slot.style.transform = `translateX(${x - (box.left + box.right) / 2}px)`;
  }

  dropped() {
    this.parts.slot.style.transform = "";
    this.parts.slot.classList.remove("held");
  }

  clicked(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const at = this.angles.indexOf(Number(tile.dataset.angle));
    const box = tile.getBoundingClientRect();
    this.moveTo(event.clientX < (box.left + box.right) / 2 ? at : at + 1);
  }

  /** Way from one gap to the next in the narrow row. */
  get pitch() {
    const [first, second] = $$(".tile", this.parts.standards);
    return second ? second.offsetLeft - first.offsetLeft : 1;
  }

  scrollTo(place, behavior) {
    const { standards } = this.parts;
    const left = place * this.pitch;
    // From now on it is not the finger that says where, nor the swing that it left behind.
    this.touched = false;
    if (Math.abs(standards.scrollLeft - left) < 1) return;
    if (behavior === "smooth") return standards.scrollTo({ left, behavior });
    standards.style.overflowX = "hidden";
    standards.scrollLeft = left;
    requestAnimationFrame(() => {
      standards.style.overflowX = "";
      standards.scrollLeft = left;
    });
  }

  scrolled() {
    const place = Math.max(0, Math.min(this.angles.length, Math.round(this.parts.standards.scrollLeft / this.pitch)));
    if (place === this.place) return;
    this.place = place;
    this.tell();
  }
}
