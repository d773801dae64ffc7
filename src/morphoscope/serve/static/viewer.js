// A square window on an image that can be turned, zoomed and centred. What it shows is what the
// server is asked about: the square has the image's longer side, and beyond the image it is black.

export const ZOOMS = [0.25, 16];
const HERE = { turn: 0, zoom: 1, x: 0, y: 0 };
const LARGEST = 1536;

export class Viewer {
  /** @param changed called with the placement after each change */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.image = null;
    this.fingers = new Map();
    this.at = { ...HERE };
    new ResizeObserver(() => this.draw()).observe(canvas);
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, (event) => this[kind](event));
    }
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Show an image (anything that a canvas draws), or nothing. */
  open(image) {
    this.image = image;
    this.canvas.classList.toggle("movable", Boolean(image));
    this.place(HERE);
  }

  get side() {
    return this.canvas.clientWidth || 1;
  }

  place(change) {
    const next = { ...this.at, ...change };
    const half = (value) => Math.min(0.5, Math.max(-0.5, value));
    next.zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], next.zoom));
    next.turn = ((((next.turn + 180) % 360) + 360) % 360) - 180;
    this.at = { turn: next.turn, zoom: next.zoom, x: half(next.x), y: half(next.y) };
    this.draw();
    this.changed(this.at);
  }

  reset() {
    this.place(HERE);
  }

  turn(by) {
    this.place({ turn: Math.round((this.at.turn + by) * 100) / 100 });
  }

  /** Move the image by shares of the window, as it is seen. */
  move(right, down) {
    const [x, y] = this.back(right, down);
    this.place({ x: this.at.x - x, y: this.at.y - y });
  }

  /** Enlarge; what lies at (right, down) of the window's middle stays there. */
  enlarge(by, right = 0, down = 0) {
    const zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], this.at.zoom * by));
    const [x, y] = this.back(right, down);
    const kept = 1 - this.at.zoom / zoom;
    this.place({ zoom, x: this.at.x + x * kept, y: this.at.y + y * kept });
  }

  /** A way on the window as a way on the image, both in shares of the longer side. */
  back(right, down) {
    const angle = (this.at.turn * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle) / this.at.zoom, Math.sin(angle) / this.at.zoom];
    return [right * cos - down * sin, right * sin + down * cos];
  }

  draw() {
    const side = Math.min(LARGEST, Math.round(this.side * (window.devicePixelRatio || 1)));
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const brush = this.canvas.getContext("2d");
    brush.setTransform(1, 0, 0, 1, 0, 0);
    brush.fillStyle = "#000";
    brush.fillRect(0, 0, side, side);
    if (!this.image) return;
    const [nx, ny] = [this.image.width, this.image.height];
    const longer = Math.max(nx, ny);
    const { turn, zoom, x, y } = this.at;
    brush.imageSmoothingQuality = "high";
    brush.translate(side / 2, side / 2);
    brush.rotate((-turn * Math.PI) / 180);
    brush.scale((zoom * side) / longer, (zoom * side) / longer);
    brush.drawImage(this.image, -nx / 2 - x * longer, -ny / 2 - y * longer);
  }

  /** Where a pointer is, in shares of the window from its middle. */
  spot(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5];
  }

  pointerdown(event) {
    if (!this.image || (event.pointerType === "mouse" && event.button !== 0)) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, this.spot(event));
  }

  pointermove(event) {
    const was = this.fingers.get(event.pointerId);
    if (!was) return;
    const now = this.spot(event);
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.fingers.set(event.pointerId, now);
    if (other) this.pinch(was, now, other);
    else if (event.shiftKey) this.turn((angle(was, [0, 0]) - angle(now, [0, 0])) * (180 / Math.PI));
    else this.move(now[0] - was[0], now[1] - was[1]);
  }

  pinch(was, now, other) {
    const length = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]) || 1e-6;
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    this.move((now[0] - was[0]) / 2, (now[1] - was[1]) / 2);
    this.enlarge(length(now) / length(was), ...middle);
    // Turned about the fingers: what lies between them goes to the middle, turns, and comes back.
    this.move(-middle[0], -middle[1]);
    this.turn(((angle(was, other) - angle(now, other)) * 180) / Math.PI);
    this.move(...middle);
  }

  pointerup(event) {
    this.fingers.delete(event.pointerId);
  }

  pointercancel(event) {
    this.fingers.delete(event.pointerId);
  }

  wheel(event) {
    if (!this.image) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    this.enlarge(Math.exp(-event.deltaY * lines * 0.0015), ...this.spot(event));
  }

  key(event) {
    if (!this.image || event.ctrlKey || event.metaKey || event.altKey) return;
    const fine = event.shiftKey ? 0.2 : 1;
    const doing = {
      ArrowLeft: () => this.move(-0.05 * fine, 0),
      ArrowRight: () => this.move(0.05 * fine, 0),
      ArrowUp: () => this.move(0, -0.05 * fine),
      ArrowDown: () => this.move(0, 0.05 * fine),
      "+": () => this.enlarge(1.1),
      "=": () => this.enlarge(1.1),
      "-": () => this.enlarge(1 / 1.1),
      _: () => this.enlarge(1 / 1.1),
      "[": () => this.turn(5),
      ",": () => this.turn(5),
      "{": () => this.turn(1),
      "<": () => this.turn(1),
      "]": () => this.turn(-5),
      ".": () => this.turn(-5),
      "}": () => this.turn(-1),
      ">": () => this.turn(-1),
      0: () => this.reset(),
    }[event.key];
    if (!doing) return;
    event.preventDefault();
    doing();
  }
}

function angle([x, y], [aroundX, aroundY]) {
  return Math.atan2(y - aroundY, x - aroundX);
}

/** A placement in words. */
export function described({ turn, zoom, x, y }) {
  const parts = [];
  const whole = (value) => Number(value.toFixed(1));
  if (whole(turn)) parts.push(`turned ${Math.abs(whole(turn))}° ${turn > 0 ? "anticlockwise" : "clockwise"}`);
  if (Math.abs(zoom - 1) > 0.005) parts.push(`enlarged ${zoom.toFixed(2)}×`);
  if (whole(100 * x)) parts.push(`centre ${Math.abs(whole(100 * x))} % ${x > 0 ? "right" : "left"}`);
  if (whole(100 * y)) parts.push(`centre ${Math.abs(whole(100 * y))} % ${y > 0 ? "down" : "up"}`);
  return parts.length ? parts.join(", ") : "as it came";
}
