// Small drawings: bars, a disc's tilt, what a network looked at, north and scale.

import { html, svg } from "./dom.js";
import { degrees, percent, plain } from "./words.js";

/** Probabilities as a table with bars; `set` holds the classes that may be true. */
export function bars(probabilities, set = []) {
  const rows = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  return html("table", { class: "bars" },
    html("caption", { class: "unseen" }, "Probability of each class"),
    html("tbody", {}, rows.map(([name, share]) =>
      html("tr", { class: set.includes(name) ? "in" : "" },
        html("th", { scope: "row" }, plain(name)),
        html("td", { class: "bar" }, svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
          svg("rect", { class: "track", width: 100, height: 8 }),
          svg("rect", { class: "fill", width: Math.max(0, Math.min(100, share * 100)).toFixed(2), height: 8 }))),
        html("td", { class: "n" }, percent(share))))));
}

const CENTRE = [14, 102];
const RADIUS = 82;

function onDial(inclination, radius = RADIUS) {
  const angle = (inclination * Math.PI) / 180;
  return [CENTRE[0] + radius * Math.cos(angle), CENTRE[1] - radius * Math.sin(angle)].map((v) => v.toFixed(2));
}

function arc(low, high, name, radius = RADIUS) {
  const [from, to] = [onDial(low, radius), onDial(high, radius)];
  return svg("path", { class: name, d: `M${from} A${radius} ${radius} 0 0 0 ${to}` });
}

/** A disc as it is seen at that tilt, and the tilt on a protractor with both intervals. */
export function tilt({ inclination, inclination_low: low, inclination_high: high, inclination_low_90: low90, inclination_high_90: high90 }) {
  const flat = Math.max(0.06, Math.cos((inclination * Math.PI) / 180));
  const rings = [1, 0.68, 0.36].map((size) => svg("ellipse", { class: "ring", cx: 172, cy: 60, rx: 42 * size, ry: 42 * size * flat }));
  const known = (one) => typeof one === "number";
  const label = `A disc tilted by ${degrees(inclination)}` + (known(low) ? `, 68 % interval ${degrees(low)} to ${degrees(high)}` : "") +
    (known(low90) ? `, 90 % interval ${degrees(low90)} to ${degrees(high90)}` : "");
  return svg("svg", { class: "tilt", viewBox: "-8 -2 230 126", role: "img", "aria-label": label },
    arc(0, 90, "track"),
    known(low90) && arc(low90, high90, "likely90"),
    known(low) && arc(low, high, "likely68"),
    [0, 30, 60, 90].map((at) => {
      const [x, y] = onDial(at, RADIUS + 10);
      return svg("text", { x, y, dy: at === 90 ? 0 : 4, "text-anchor": at === 90 ? "middle" : "start" }, `${at}°`);
    }),
    svg("line", { class: "needle", x1: CENTRE[0], y1: CENTRE[1], x2: onDial(inclination)[0], y2: onDial(inclination)[1] }),
    svg("circle", { class: "hub", cx: CENTRE[0], cy: CENTRE[1], r: 3 }),
    svg("text", { x: CENTRE[0] + RADIUS - 8, y: 119, "text-anchor": "end" }, "face-on"),
    svg("text", { x: 2, y: 62, transform: "rotate(-90 2 62)", "text-anchor": "middle" }, "edge-on"),
    rings, svg("circle", { class: "hub", cx: 172, cy: 60, r: 2.5 }));
}

/** What counted, over the image as the model saw it; with a box to take the map away. */
export function looked({ grid, seen }) {
  const [ny, nx] = [grid.length, grid[0].length];
  const cells = grid.flatMap((row, y) => row.map((value, x) =>
    svg("rect", { x, y, width: 1, height: 1, "fill-opacity": (0.72 * Math.max(0, value)).toFixed(3) })));
  const map = svg("g", { class: "heat" }, cells);
  const best = grid.flatMap((row, y) => row.map((value, x) => [value, x, y])).sort((a, b) => b[0] - a[0])[0];
  const where = `${["upper", "middle", "lower"][Math.floor((3 * best[2]) / ny)]} ${["left", "centre", "right"][Math.floor((3 * best[1]) / nx)]}`;
  const picture = svg("svg", { class: "looked", viewBox: `0 0 ${nx} ${ny}`, role: "img", "aria-label": `The image as the network saw it; what counted most lies in the ${where}.` },
    svg("image", { href: seen, width: nx, height: ny, preserveAspectRatio: "none" }), map);
  const box = html("input", { type: "checkbox", checked: true });
  box.addEventListener("change", () => map.setAttribute("visibility", box.checked ? "visible" : "hidden"));
  return html("div", { class: "looking" }, picture, html("label", { class: "check" }, box, " Show the map"));
}

const NICE = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];
const inSky = (arcsec) => (arcsec >= 3600 ? `${arcsec / 3600}°` : arcsec >= 60 ? `${arcsec / 60}′` : `${arcsec}″`);

/** North, east and a scale bar for a square of so many arcsec, turned anticlockwise by `turn`. */
export function bearings(turn, across) {
  const angle = (turn * Math.PI) / 180;
  const at = [88, 88];
  const end = (along, length) => [at[0] - length * Math.sin(angle + along), at[1] - length * Math.cos(angle + along)];
  const arrow = (along, name) => {
    const [x2, y2] = end(along, 7);
    const [x, y] = end(along, 9.6);
    return [svg("line", { x1: at[0], y1: at[1], x2, y2 }), svg("text", { x, y, dy: 1.2, "text-anchor": "middle" }, name)];
  };
  const long = NICE.filter((one) => one <= across * 0.3).at(-1) ?? NICE[0];
  const width = (100 * long) / across;
  return svg("svg", { class: "bearings", viewBox: "0 0 100 100", role: "img", "aria-label": `North and east as arrows; the bar is ${inSky(long)} long.` },
    arrow(0, "N"), arrow(Math.PI / 2, "E"),
    svg("line", { x1: 5, y1: 94, x2: 5 + width, y2: 94 }),
    svg("text", { x: 5 + width / 2, y: 91.6, "text-anchor": "middle" }, inSky(long)));
}
