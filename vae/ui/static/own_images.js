// A visitor's own images have no place in an address. The browser's history keeps them beside it, so that Back, Forward
// and a reload bring them back; a link sent to others opens without them.

/** @import { Endpoint, ImageValue } from "./types" */
import { setFirstValue } from "./first_value.js";

/** @typedef {ImageValue | Endpoint} Own */
/** @typedef {{ tab: string, key: string, watch: (property: "value", changed: () => void) => void,
 *   get: () => Own | null, set: (value: any) => void }} Holder
 * key: what the address calls the image where it is none of the visitor's own */

/** @type {Holder[]} */
const holders = [];

/** What the history keeps of a tab, of which the address says `said`. @param {string} tab @param {object} said */
export function ownImages(tab, said) {
  const values = holders
    .filter((each) => each.tab === tab && !(/** @type {any} */ (said)[each.key]))
    .map(({ key, get }) => [key, get()])
    .filter(([, value]) => value);
  return values.length ? { tab, images: JSON.parse(JSON.stringify(Object.fromEntries(values))) } : null; // as it is now
}

/** @param {Holder} holder */
const restore = ({ tab, key, get, set }) => {
  const own = history.state?.own;
  const value = own?.tab === tab && own.images[key];
  if (value && JSON.stringify(value) !== JSON.stringify(get())) set(value);
};

/** Shows what the history keeps of where it is now. */
export const restoreImages = () => holders.forEach(restore);

/** Has what `holder` shows kept; what the history keeps for it is shown at once. @param {Holder} holder */
export function keepImage(holder) {
  holders.push(holder);
  setFirstValue(holder.watch, () => restore(holder));
}

/** The address of an image, and what it is called. @param {{ kind: string, [part: string]: any }} value */
export const seenAs = (value) =>
  value.kind === "file" ? { uri: value.file.url, label: value.file.orig_name } : { uri: value.uri, label: value.label };
