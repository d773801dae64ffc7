// Positions on the sky: read as people write them, said in both notations. ICRS throughout.

import { signed } from "./words.js";

const NUMBER = String.raw`[+\-]?\d+(?:\.\d*)?|[+\-]?\.\d+`;
const PAIR = new RegExp(`^(${NUMBER})°?\\s*[,;\\s]\\s*(${NUMBER})°?$`);
const SECONDS = String.raw`\d{1,2}(?:\.\d*)?`;
const RA = new RegExp(`^(\\d{1,3})\\s*[h:\\s]\\s*(\\d{1,2})(?:\\s*[m':\\s]\\s*(?:(${SECONDS})\\s*[s"]?)?)?`);
const DEC = new RegExp(`^([+\\-]?)(\\d{1,2})\\s*[d°:\\s]\\s*(\\d{1,2})(?:\\s*[m':\\s]\\s*(?:(${SECONDS})\\s*[s"]?)?)?$`);

const wrong = (text) => ({ kind: "wrong", text });

/**
 * Read what a person typed.
 * @returns {{kind: "empty"|"wrong"|"url"|"name"|"position"}} with `text`, `url`, `name`, or `ra` and `dec` (deg)
 */
export function read(typed) {
  const text = tidy(typed);
  if (!text) return { kind: "empty" };
  if (/^https?:\/\//i.test(text)) return { kind: "url", url: text };
  if (/^[+-]?[\d.]+$/.test(text)) {
    return wrong(`One number is not a position. For a galaxy of the PGC write “PGC ${text}”.`);
  }
  if (/^(PGC|LEDA)\s*$/i.test(text)) return wrong("The number after “PGC” is missing.");
  if (!/^[+-]?[\d.]/.test(text) || /^\d+\w*[A-Z]{2,}/i.test(text)) return { kind: "name", name: text };
  return position(text) ?? (/[a-z]/i.test(text.replace(/[hmsd]/gi, "")) ? { kind: "name", name: text } : wrong(
    "This is neither a name nor a position. Positions look like 12:30:49.4 +12:23:28 or 187.706 12.391.",
  ));
}

function tidy(text) {
  return text
    .replace(/[−‐‑–—]/g, "-").replace(/[′’‘]/g, "'").replace(/[″“”]|''/g, '"').replace(/[ʰ]/g, "h").replace(/[ᵐ]/g, "m")
    .replace(/[ˢ]/g, "s").replace(/º/g, "°").replace(/^(ra|α)\s*[=:]?\s*/i, "").replace(/[,;\s]+(dec|δ)\s*[=:]?\s*/i, " ")
    .replace(/\s+/g, " ").trim();
}

function position(text) {
  const pair = PAIR.exec(text);
  if (pair) return within(Number(pair[1]), Number(pair[2]));
  const ra = RA.exec(text);
  if (!ra) return null;
  const rest = text.slice(ra[0].length).replace(/^\s*[,;]?\s*/, "");
  const dec = DEC.exec(rest);
  if (!dec) return null;
  const [hours, minutes, seconds] = [ra[1], ra[2], ra[3] ?? 0].map(Number);
  const [whole, arcmin, arcsec] = [dec[2], dec[3], dec[4] ?? 0].map(Number);
  if (hours >= 24) return wrong(`${hours} hours: the right ascension is below 24 h.`);
  if ([minutes, seconds, arcmin, arcsec].some((part) => part >= 60)) return wrong("Minutes and seconds are below 60.");
  const size = whole + arcmin / 60 + arcsec / 3600;
  return within(15 * (hours + minutes / 60 + seconds / 3600), dec[1] === "-" ? -size : size);
}

function within(ra, dec) {
  if (ra < 0 || ra >= 360) return wrong(`${ra}° is no right ascension: expected 0 to 360°.`);
  if (dec < -90 || dec > 90) return wrong(`${dec}° is no declination: expected −90 to +90°.`);
  return { kind: "position", ra, dec };
}

const two = (n) => String(n).padStart(2, "0");

/** Hours, minutes and seconds; rounded before they are parted, so that no 60 comes out. */
export function sexagesimal(ra, dec) {
  const tenths = Math.round((((ra % 360) + 360) % 360) / 15 * 36000) % 864000;
  const arcsec = Math.round(Math.abs(dec) * 3600);
  const hours = `${two(Math.floor(tenths / 36000))}:${two(Math.floor(tenths / 600) % 60)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
  return `${hours} ${dec < 0 ? "−" : "+"}${two(Math.floor(arcsec / 3600))}:${two(Math.floor(arcsec / 60) % 60)}:${two(arcsec % 60)}`;
}

/** Both notations, as the pages show them. */
export const both = (ra, dec) => `${sexagesimal(ra, dec)} (${ra.toFixed(5)}°, ${signed(dec, 5)}°)`;

/** Position of the centre of a view of an image whose middle is at (ra, dec); shares of its longer side in arcsec. */
export function moved(ra, dec, right, down) {
  // Gnomonic projection; north is up, east on the left.
  const radian = Math.PI / 180;
  const [xi, eta] = [(-right / 3600) * radian, (-down / 3600) * radian];
  const [sin, cos] = [Math.sin(dec * radian), Math.cos(dec * radian)];
  const below = cos - eta * sin;
  const found = ra + Math.atan2(xi, below) / radian;
  return [(found + 360) % 360, Math.atan2(sin + eta * cos, Math.hypot(xi, below)) / radian];
}
