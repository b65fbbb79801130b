// How much to enlarge an image: small ones by whole factors, crisp; photographs to fit.

import { pixelRatio } from "./dom.js";

/** Images up to this many pixels wide are shown pixel by pixel. */
export const SMALL = 128;

/** @param {number} size in pixels */
export const isSmall = (size) => size <= SMALL;

/**
 * How many CSS pixels a pixel of the image takes.
 *
 * @param {number} size of the image, in its pixels
 * @param {number} room in CSS pixels
 * @param {number} [ratio] device pixels in a CSS pixel
 */
export function enlargement(size, room, ratio = pixelRatio()) {
  if (!isSmall(size)) return room / size;
  return Math.floor((room * ratio) / size) / ratio || room / size;
}
