// Figures of a reconstruction, in words a visitor knows with the field's term beside them.

import { h } from "./dom.js";
import { glossed } from "./term.js";

/**
 * @typedef {object} FigureRow
 * @property {string} word
 * @property {string} [term] the field's
 * @property {string} value
 * @property {string} [unit]
 * @property {string} [title] what it means
 * @property {boolean} [best] whether it is the best of those beside it
 */

export const PSNR_MEANS = "Peak signal-to-noise ratio: higher is closer, and each 6 dB halves the error";
export const SSIM_MEANS = "Structural similarity: 1 means the same picture";

/** @param {FigureRow} row @returns {HTMLDivElement} for a <dl> */
export function figureRow({ word, term, value, unit, title, best }) {
  const name = h("dt", {}, word, term ? h("small", {}, glossed(term)) : null);
  const text = h("dd", { class: best ? "best" : null }, value);
  if (unit) text.append(" ", h("small", {}, unit));
  if (best) text.append(" ", h("em", {}, "best"));
  return h("div", { title }, name, text);
}
