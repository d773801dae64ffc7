// An answer of the API as people read it.

import { html } from "./dom.js";
import { bars, looked, tilt } from "./drawings.js";
import { both, moved } from "./sky.js";
import { described } from "./viewer.js";
import { degrees, flagged, listed, percent, plain, rejected, shapeFlag, span, survey } from "./words.js";

/** Arcsec across the square that was asked about; nothing where the scale is not known. */
export function across({ image, placement }) {
  if (!image.pixel_scale || !image.north_up) return null;
  return (image.pixel_scale * Math.max(image.ny, image.nx)) / placement.zoom;
}

/**
 * Fill an element with an answer.
 * @param look called to ask again with what the networks looked at; absent where it cannot be
 */
export function render(target, answer, { look } = {}) {
  target.replaceChildren(
    html("h2", { class: "verdict" }, answer.sentence),
    alarm(answer.alarm) ?? "",
    together(answer) ?? "",
    html("div", { class: "models" }, answer.answers.map(model)),
    explanation(answer, look) ?? "",
    shape(answer.shape) ?? "",
    facts(answer),
  );
}

function alarm(found) {
  if (!found?.length) return null;
  return html("aside", { class: "alarm", role: "alert" },
    html("h3", {}, "Look at this one yourself"),
    html("ul", {}, found.map((one) => html("li", {}, one.text))));
}

// Where each kind of answer rests on one model, the sentence and the models' own answers say it all.
function together({ combined }) {
  const rows = [];
  if (combined.class) rows.push(["Class", possible(combined.class), combined.class.models]);
  if (combined.inclination) {
    const one = combined.inclination;
    rows.push(["Inclination", `${degrees(one.inclination)}, ${span(one.low, one.high)} with ${percent(one.coverage)}`, one.models]);
  }
  if (!rows.some(([, , models]) => models.length > 1)) return null;
  return html("section", { class: "together" }, html("h3", {}, "Together"),
    html("dl", { class: "facts" }, rows.map(([name, text, models]) => [
      html("dt", {}, name), html("dd", {}, text, " ", html("span", { class: "small" }, `from ${listed(models)}`))])));
}

function possible({ class: name, probability, set }) {
  const others = set.filter((one) => one !== name);
  return `${plain(name)}, ${percent(probability)}${others.length ? `; ${listed(others, "or")} possible too` : ""}`;
}

function model(one) {
  const body = one.class === null || one.class === undefined ? [html("p", {}, "No answer. ", flagged(one.flag ?? "failed"))]
    : one.task === "inclination" ? inclination(one) : classes(one);
  return html("section", { class: "card model" },
    html("h3", {}, html("a", { href: `/models/${encodeURIComponent(one.model)}` }, one.model)),
    body, one.flag === "unlike_training" && unlike(one));
}

function classes(one) {
  const coverage = one.set_coverage ? ` For ${percent(one.set_coverage)} of images like those of its training such a set holds the true class.` : "";
  const set = one.set ?? [];
  return [
    html("p", { class: "figure" }, plain(one.class), " ", html("span", {}, percent(one.probabilities[one.class]))),
    bars(one.probabilities, set),
    set.length > 0 && html("p", { class: "small" },
      set.length === 1 ? `Only ${plain(set[0])} is likely.` : `It may be ${listed(set, "or")}.`, coverage),
  ];
}

function inclination(one) {
  const kinds = html("details", {}, html("summary", {}, "What it looks like"), bars(one.probabilities));
  if (one.reject) {
    return [html("p", { class: "figure" }, plain(one.reject), " ", html("span", {}, percent(one.probabilities[one.reject] ?? 0))),
      html("p", { class: "caution" }, rejected(one.reject)),
      html("p", { class: "small" }, `The number would be ${degrees(one.inclination)}.`), kinds];
  }
  return [
    html("p", { class: "figure" }, degrees(one.inclination), " ", html("span", {}, span(one.inclination_low, one.inclination_high))),
    tilt(one),
    html("p", { class: "small" }, `0° is face-on, 90° edge-on. The true one lies within ${span(one.inclination_low, one.inclination_high)} for ${percent(0.68)} of galaxies like those of its calibration, and within ${span(one.inclination_low_90, one.inclination_high_90)} for ${percent(0.9)}. On others it may be further off: see the model’s card.`),
    kinds,
  ];
}

function unlike(one) {
  const far = one.familiar ? ` (distance ${one.familiar.distance.toPrecision(2)}, limit ${one.familiar.limit.toPrecision(2)})` : "";
  return html("p", { class: "caution" }, `This image is unlike those that the model was trained on${far}. Its answer may be wrong without any other sign.`);
}

function explanation({ answers }, look) {
  const found = answers.filter((one) => one.looked);
  if (!found.length) {
    if (!look) return null;
    return html("p", { class: "ask-look" }, html("button", { type: "button", class: "quiet", onclick: look }, "Show what the networks looked at"));
  }
  return html("section", {}, html("h3", {}, "What the networks looked at"),
    html("p", { class: "small" }, "Each part of the image was covered in turn. The brighter the square, the more the answer changed; where it stays dark, the network did not need to look."),
    html("div", { class: "lookings" }, found.map((one) => html("figure", {}, looked(one.looked), html("figcaption", {}, html("b", {}, one.model), change(one))))));
}

function change({ looked: { change: most }, task, class: name, probabilities }) {
  if (most === 0) return html("span", { class: "small" }, " No part alone changes the answer.");
  // The first class is the disc: of all others the server tells how their probability changes.
  const tilted = task === "inclination" && name === Object.keys(probabilities)[0];
  const words = tilted ? `changes the inclination by ${most.toFixed(1)}°` : `lowers the answer’s probability by ${most.toFixed(2)}`;
  return html("span", { class: "small" }, ` Covering the brightest square ${words}.`);
}

function shape(found) {
  if (!found) return null;
  const flags = found.flags ?? [];
  const number = (value) => typeof value === "number";
  const rows = [];
  if (number(found.axial_ratio)) rows.push(["Axial ratio", found.axial_ratio.toFixed(2)]);
  if (number(found.position_angle)) rows.push(["Position angle", `${degrees(found.position_angle)} anticlockwise from up`]);
  if (number(found.inclination_formula)) rows.push(["Ellipse formula", `${degrees(found.inclination_formula)}, for a disc of thickness q0 = ${found.q0}`]);
  return html("section", {}, html("h3", {}, "Measured, without a network"),
    rows.length > 0 && html("dl", { class: "facts" }, rows.map(([name, text]) => [html("dt", {}, name), html("dd", {}, text)])),
    html("p", { class: "small" }, rows.length ? "cos² i = (q² − q0²) / (1 − q0²), which holds for discs only. " : "The shape could not be measured. ",
      flags.length > 0 && `Note: ${flags.map(shapeFlag).join("; ")}.`));
}

function facts({ image, placement, seconds }) {
  const rows = [["Image", [image.name, image.kind, `${image.ny} × ${image.nx} pixels`].filter(Boolean).join(", ")]];
  if (image.source && image.source !== "upload") rows.push(["From", survey(image.source)]);
  if (typeof image.ra === "number") {
    const longer = image.pixel_scale ? image.pixel_scale * Math.max(image.ny, image.nx) : null;
    const seen = longer && image.north_up ? moved(image.ra, image.dec, placement.x * longer, placement.y * longer) : [image.ra, image.dec];
    rows.push(["Centre, ICRS", both(...seen)]);
  }
  if (image.pixel_scale) rows.push(["Pixel scale", `${image.pixel_scale.toFixed(3)}″ a pixel`]);
  rows.push(["View", described(placement)], ["SHA-256", html("code", {}, image.sha256)]);
  if (typeof seconds === "number") rows.push(["Took", `${seconds < 10 ? seconds.toFixed(2) : Math.round(seconds)} s`]);
  return html("details", { class: "of-image" }, html("summary", {}, "The image"),
    html("dl", { class: "facts" }, rows.map(([name, text]) => [html("dt", {}, name), html("dd", {}, text)])));
}
