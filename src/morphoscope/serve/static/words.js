// Numbers and names as people read them. The templates say the same in page_words.py.

const NARROW = "\u202f";

export const plain = (name) => String(name).replaceAll("_", " ");

export function percent(share) {
  if (share > 0.995 && share < 1) return `>${NARROW}99${NARROW}%`;
  if (share > 0 && share < 0.005) return `<${NARROW}1${NARROW}%`;
  return `${Math.round(share * 100)}${NARROW}%`;
}

export const degrees = (value) => `${Math.round(value)}°`;
export const span = (low, high) => `${Math.round(low)}–${Math.round(high)}°`;
export const signed = (value, digits) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

export function listed(names, joint = "and") {
  const all = names.map(plain);
  return all.length < 2 ? all.join("") : `${all.slice(0, -1).join(", ")} ${joint} ${all.at(-1)}`;
}

export function bytes(n) {
  const [unit, size] = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]].find(([, size]) => n >= size) ?? ["bytes", 1];
  return `${Number((n / size).toPrecision(3))} ${unit}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Date and minute of a time in UTC. */
export const moment = (iso) => new Date(iso).toISOString().slice(0, 16).replace("T", " ");

const SURVEYS = { legacy: "the Legacy Surveys", sdss: "SDSS", hips: "DSS2 (HiPS)", url: "its address" };
export const survey = (source) => SURVEYS[source] ?? plain(source);

const REJECTED = {
  not_disc: "It does not look like a disc, so the inclination is a number without meaning.",
  disturbed: "It looks disturbed, as galaxies in a merger do, so the inclination is a number without meaning.",
  not_galaxy: "It does not look like a galaxy, so the inclination is a number without meaning.",
};
export const rejected = (reason) =>
  REJECTED[reason] ?? `It looks like this: ${plain(reason)}. The inclination is a number without meaning.`;

const FLAGS = {
  blank: "There is nothing to see in it: all pixels are nearly alike.",
  too_small: "The image is too small.",
  too_large: "The image has too many pixels.",
  truncated: "The end of the file is missing.",
  unreadable: "The file is damaged.",
  not_an_image: "The file is no image.",
  not_placeable: "Images of bands cannot be turned or zoomed: reset the view and ask again.",
  missing_band: "The model needs bands that this image does not have.",
  wrong_unit: "The model was made for images of another unit.",
  wrong_scale: "The model was made for another pixel scale.",
  failed: "The preparation broke down on it.",
};
export const flagged = (flag) => FLAGS[flag] ?? `The image cannot be used: ${plain(flag)}.`;

const SHAPE_FLAGS = {
  no_source: "nothing rises above the sky in the middle",
  blank: "all pixels are alike",
  too_small: "the image, or the source in it, is too small",
  cut_by_edge: "the galaxy touches the edge of the image: the ratio is of what is left",
  saturated: "the galaxy, or a star on it, has a flat top",
  masked: "parts of it have no value",
  unresolved: "it is not wider than the point-spread function",
};
export const shapeFlag = (flag) => SHAPE_FLAGS[flag] ?? plain(flag);
