// How many columns a grid of images has, and how large its cells are.

import { enlargement } from "./pixel_scale.js";

/**
 * The columns that make the cells largest in a square, and of those the ones that leave the last row fullest.
 *
 * @param {{ n: number, width: number, height: number }} images their number and size in pixels
 * @param {number} room of the square, in CSS pixels
 * @param {number} gap between the cells, in CSS pixels
 * @param {number} [ratio] device pixels in a CSS pixel
 * @returns {{ scale: number, columns: number }} scale: CSS pixels that a pixel of an image takes
 */
export function squareGrid({ n, width, height }, room, gap, ratio) {
  let found = { scale: 0, columns: 1, empty: n };
  for (let columns = 1; columns <= n; columns++) {
    const rows = Math.ceil(n / columns);
    const empty = columns * rows - n;
    const fits = Math.min((room + gap) / columns - gap, ((room + gap) / rows - gap) * (width / height));
    const scale = fits > 1 ? enlargement(width, fits, ratio) : 0;
    if (scale > found.scale || (scale === found.scale && empty < found.empty)) found = { scale, columns, empty };
  }
  return { scale: found.scale, columns: found.columns };
}
