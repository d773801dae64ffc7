// Images that were fetched once: the server lets no browser keep them, so the page does.

import { Refused } from "./ask.js";
import { reach, stranger } from "./label-ask.js";

// About four rows of standards and ten galaxies in three bands.
const MOST = 160;
const fetched = new Map();

function evict() {
  for (const [url, found] of fetched) {
    if (fetched.size <= MOST) return;
    fetched.delete(url);
    found.then(({ address }) => URL.revokeObjectURL(address), () => null);
  }
}

/** The image of an address, as something to draw (`bitmap`) and an address in this page. */
export function image(url) {
  const known = fetched.get(url);
  fetched.delete(url);
  const found = known ?? opened(url);
  fetched.set(url, found);
  evict();
  return found;
}

async function opened(url) {
  try {
    const { response, blob } = await reach(url);
    if (!blob.type.startsWith("image/")) throw stranger(response.status);
    return { bitmap: await drawable(blob), address: URL.createObjectURL(blob) };
  } catch (error) {
    fetched.delete(url);
    throw error;
  }
}

async function drawable(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    throw Object.assign(new Refused(415, { found: "The image cannot be drawn." }), { code: "not_an_image" });
  }
}

/** Fetch what will be wanted; what fails is fetched when it is. */
export const ahead = (urls) => Promise.allSettled(urls.map(image));

/** Address of a subject in a band. */
export function inBand(subject, band) {
  if (!band || !subject.bands?.includes(band)) return subject.image;
  const url = new URL(subject.image, location.href);
  url.searchParams.set("band", band);
  return url.pathname + url.search;
}
