// Small drawings of what an answer means, where a drawing says it faster than the word.

import { svg } from "./dom.js";

const ellipse = (rx, ry, name = "light", cx = 24, cy = 18) => svg("ellipse", { class: name, cx, cy, rx, ry });
const line = (d, name = "stroke") => svg("path", { class: name, d });
const core = (r = 2.5) => ellipse(r, r, "core");

/** An arm of a logarithmic spiral; a small pitch winds it tightly. */
function arm(pitch, begun, turns = 0.62, from = 3) {
  const points = [];
  for (let at = 0; at <= 1; at += 0.05) {
    const angle = begun + at * turns * 2 * Math.PI;
    const radius = from * Math.exp(pitch * at * turns * 2 * Math.PI);
    points.push(`${(24 + 1.25 * radius * Math.cos(angle)).toFixed(1)} ${(18 + 0.92 * radius * Math.sin(angle)).toFixed(1)}`);
  }
  return line(`M${points.join("L")}`);
}

const arms = (n, pitch = 0.42) => [core(), Array.from({ length: n }, (_, at) => arm(pitch, (2 * Math.PI * at) / n))];
const spiral = (pitch, turns) => [core(2), [0, Math.PI].map((begun) => arm(pitch, begun, turns))];
const edgeOn = (bulge) => [ellipse(21, 2.2), bulge];
const question = () => svg("text", { x: 24, y: 25, "text-anchor": "middle" }, "?");

const star = () => [line("M24 3V33M9 18H39"), ellipse(4, 4, "core")];
const DRAWINGS = {
  "shape:smooth": () => [ellipse(17, 13), ellipse(8, 6, "core")],
  "shape:features": () => [ellipse(20, 13, "faint"), arms(2)],
  "shape:artifact": star,
  "class:elliptical": () => [ellipse(17, 13), ellipse(8, 6, "core")],
  "class:spiral": () => arms(2),
  "class:edge_on": () => edgeOn(ellipse(5, 4, "core")),
  "class:merger": () => [ellipse(8, 6, "light", 17, 15), ellipse(8, 6, "light", 31, 22), line("M9 20Q3 27 8 33M39 17Q45 10 40 4")],
  "class:artifact": star,
  "edge_on:yes": () => edgeOn(ellipse(4, 3, "core")),
  "edge_on:no": () => [ellipse(19, 13), core(3)],
  "bar:yes": () => [svg("rect", { class: "core", x: 14, y: 15.5, width: 20, height: 5, rx: 2.5 }), line("M34 18Q36 29 22 30M14 18Q12 7 26 6")],
  "bar:no": () => [core(4), line("M28 18Q34 29 20 30M20 18Q14 7 28 6")],
  "spiral:yes": () => arms(2),
  "spiral:no": () => [ellipse(19, 13), ellipse(6, 4.5, "core")],
  "bulge:none": () => ellipse(20, 13, "faint"),
  "bulge:just_noticeable": () => [ellipse(20, 13, "faint"), ellipse(3, 2.5, "core")],
  "bulge:obvious": () => [ellipse(20, 13, "faint"), ellipse(7, 5.5, "core")],
  "bulge:dominant": () => [ellipse(20, 13, "faint"), ellipse(13, 9.5, "core")],
  "roundness:round": () => ellipse(14, 14),
  "roundness:in_between": () => ellipse(18, 10),
  "roundness:cigar": () => ellipse(20, 4.5),
  "odd_feature:ring": () => [core(3), svg("ellipse", { class: "stroke", cx: 24, cy: 18, rx: 17, ry: 12 })],
  "odd_feature:lens_or_arc": () => [core(4), line("M10 27Q4 14 14 6M38 9Q44 22 34 30")],
  "odd_feature:disturbed": () => [ellipse(12, 8), line("M35 21Q44 24 42 33M13 15Q4 12 7 3")],
  "odd_feature:irregular": () => line("M10 20Q9 8 19 11Q24 3 31 9Q42 10 37 19Q41 30 30 27Q22 34 18 27Q8 30 10 20Z", "light"),
  "odd_feature:merger": () => [ellipse(8, 6, "light", 16, 15), ellipse(8, 6, "light", 32, 21)],
  "odd_feature:dust_lane": () => [ellipse(18, 10), svg("rect", { class: "dark", x: 4, y: 16.6, width: 40, height: 2.8, rx: 1.4 })],
  "edge_on_bulge:rounded": () => edgeOn(ellipse(7, 6, "core")),
  "edge_on_bulge:boxy": () => edgeOn(svg("rect", { class: "core", x: 17, y: 12, width: 14, height: 12, rx: 2.5 })),
  "edge_on_bulge:none": () => edgeOn(null),
  "winding:tight": () => spiral(0.19, 1.35),
  "winding:medium": () => spiral(0.3, 0.88),
  "winding:loose": () => spiral(0.55, 0.46),
  "arms:one": () => arms(1),
  "arms:two": () => arms(2),
  "arms:three": () => arms(3),
  "arms:four": () => arms(4),
  "arms:more": () => arms(6),
  "arms:cannot_tell": question,
};

/** Drawing of an answer, or nothing. */
export function drawing(asked, { key }) {
  const drawn = DRAWINGS[`${asked}:${key}`];
  return drawn ? svg("svg", { class: "drawn", viewBox: "0 0 48 36", "aria-hidden": "true" }, drawn()) : null;
}

/** A thin disc of that inclination, where there is no photograph of one. */
export function disc(angle) {
  const flat = Math.max(0.14, Math.cos((angle * Math.PI) / 180));
  const rings = [1, 0.66, 0.33].map((size) => ellipse(19 * size, 19 * size * flat, "ring", 24, 24));
  return svg("svg", { class: "drawn-disc", viewBox: "0 0 48 48", role: "img", "aria-label": `A drawn disc of ${angle}°` }, rings);
}
