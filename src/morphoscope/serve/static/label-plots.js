// Small plots for a coordinator: each with its numbers in words for who does not see it.

import { html, svg } from "./dom.js";

const WIDTH = 480;
const HEIGHT = 150;
const many = (n) => Number(n).toLocaleString("en");

/** A bar of how many are done. */
export function progress(done, n) {
  return html("span", { class: "progressing" },
    html("progress", { max: Math.max(1, n), value: done, "aria-label": "Galaxies measured" }),
    `${many(done)} of ${many(n)} galaxies measured.`);
}

/** Columns of (name, count); names are written below the first, the last and the highest. */
export function columns(pairs, { label, axis = "" }) {
  const most = Math.max(1, ...pairs.map(([, n]) => n));
  const step = WIDTH / Math.max(pairs.length, 8);
  const top = pairs.findIndex(([, n]) => n === most);
  const bars = pairs.map(([name, n], at) => svg("g", {},
    svg("title", {}, `${name}: ${many(n)}`),
    svg("rect", { class: "fill", x: (at * step + 1).toFixed(1), y: (HEIGHT - 34 - (n / most) * (HEIGHT - 54)).toFixed(1), width: Math.max(1, step - 2).toFixed(1), height: ((n / most) * (HEIGHT - 54)).toFixed(1) })));
  const mark = (at, anchor) => svg("text", { x: ((at + 0.5) * step).toFixed(1), y: HEIGHT - 18, "text-anchor": anchor }, String(pairs[at][0]));
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${label}: ${pairs.map(([name, n]) => `${name}: ${n}`).join("; ")}` },
    svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 34, y2: HEIGHT - 34 }), bars,
    pairs.length > 0 && [
      svg("text", { x: ((top + 0.5) * step).toFixed(1), y: 12, "text-anchor": top === 0 ? "start" : "middle" }, many(most)),
      mark(0, "start"), pairs.length > 1 && mark(pairs.length - 1, pairs.length < 8 ? "middle" : "end"),
    ],
    svg("text", { class: "muted", x: WIDTH / 2, y: HEIGHT - 2, "text-anchor": "middle" }, axis));
}

/** Values between −1 and 1 as bars from zero. */
export function values(rows, { label }) {
  return html("table", { class: "bars values" },
    html("caption", { class: "unseen" }, label),
    html("tbody", {}, rows.map(({ name, value, n }) => html("tr", {},
      html("th", { scope: "row" }, name),
      html("td", { class: "bar" }, svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { class: "track", width: 100, height: 8 }),
        svg("rect", { class: "fill", width: (100 * Math.max(0, Math.min(1, value ?? 0))).toFixed(1), height: 8 }))),
      html("td", { class: "n" }, typeof value === "number" ? value.toFixed(2) : "–"),
      html("td", { class: "n small" }, `n = ${many(n ?? 0)}`)))));
}

/** Systematic offset and scatter of raters, each a point with a bar. */
export function scatters(raters, { label }) {
  const rows = raters.filter((one) => typeof one.offset === "number").map((one) => ({ ...one, name: one.name ?? "without a name" }));
  const most = Math.max(5, ...rows.map((one) => Math.abs(one.offset) + (one.scatter ?? 0)));
  const height = 26 * rows.length + 34;
  const at = (value) => 150 + ((value + most) / (2 * most)) * (WIDTH - 160);
  const marks = rows.map((one, row) => {
    const y = 14 + 26 * row;
    return svg("g", { class: one.flag ? "flagged" : "" },
      svg("text", { x: 0, y: y + 4 }, one.name.length > 20 ? `${one.name.slice(0, 19)}…` : one.name),
      svg("line", { class: "bar", x1: at(one.offset - (one.scatter ?? 0)), x2: at(one.offset + (one.scatter ?? 0)), y1: y, y2: y }),
      svg("circle", { class: "point", cx: at(one.offset), cy: y, r: 4.5 }));
  });
  const ticks = [-most, 0, most].map((value) => svg("text", { class: "muted", x: at(value), y: height - 4, "text-anchor": value < 0 ? "start" : value > 0 ? "end" : "middle" }, `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(0)}°`));
  const words = rows.map((one) => `${one.name}: ${one.offset.toFixed(1)}° ± ${(one.scatter ?? 0).toFixed(1)}°`).join("; ");
  return svg("svg", { class: "plot tall", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${label}: ${words}` },
    svg("line", { class: "axis", x1: at(0), x2: at(0), y1: 0, y2: height - 20 }), marks, ticks);
}
