// Which previews of a training there are, and in which order they are fetched.

/** @import { PreviewMoment, PreviewWanted } from "./types" */

export const KINDS = ["samples", "reconstruction"];

/** @param {string} kind @param {number} step */
export const previewKey = (kind, step) => `${kind}-${step}`;

/** The previews of a moment that are not known yet.
 * @param {PreviewMoment | undefined} moment @param {(key: string) => boolean} known @returns {PreviewWanted[]} */
export function wantedOf(moment, known) {
  if (!moment) return [];
  const { step } = moment;
  const has = KINDS.filter((kind) => moment[kind] && !known(previewKey(kind, step)));
  return has.map((kind) => [kind, step]);
}

/**
 * All of n moments, so that whoever moves the slider early finds something near: the middle first, then the middles of
 * the halves, and so on; the ends last.
 *
 * @param {number} n
 * @returns {number[]}
 */
export function middleFirst(n) {
  const found = [];
  for (let size = 2 ** Math.ceil(Math.log2(n + 1)); size > 1; size >>= 1)
    for (let i = size >> 1; i < n; i += size) found.push(i);
  return n ? [...new Set([...found, 0, n - 1])] : [];
}

/**
 * What to fetch next.
 *
 * @param {PreviewMoment[]} moments
 * @param {object} now
 * @param {number} now.at the moment that is looked at
 * @param {boolean} now.hurry whether that one is fetched at once
 * @param {boolean} now.ahead whether the others are, too
 * @param {number} now.most
 * @param {(key: string) => boolean} known
 * @returns {PreviewWanted[]}
 */
export function nextPreviews(moments, { at, hurry, ahead, most }, known) {
  const wanted = new Map();
  /** @param {number} i */
  const add = (i) => {
    for (const each of wantedOf(moments[i], known)) wanted.set(previewKey(...each), each);
  };
  if (hurry) add(at);
  if (ahead)
    for (const i of middleFirst(moments.length)) {
      if (wanted.size >= most) break;
      add(i);
    }
  return [...wanted.values()].slice(0, most);
}

/** The moments with those that came after; a training that was told anew replaces what it had told.
 * @param {PreviewMoment[]} moments @param {PreviewMoment[]} more */
export const withMore = (moments, more) =>
  more.length ? [...moments.filter(({ step }) => step < more[0].step), ...more] : moments;
