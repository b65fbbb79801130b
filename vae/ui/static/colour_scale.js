// Colours for numbers: from the surface's own tone at 0 to one colour, or to two for what has a sign.

/** @typedef {[number, number, number]} Rgb red, green, blue, each from 0 to 255 */
/** @typedef {{ dark: boolean, diverging: boolean }} Scale */

const LIGHT = { zero: "#F3EEE7", low: "#1B5E9B", high: "#C2410C", only: "#1F5F70" };
const DARK = { zero: "#2B2722", low: "#5AA9E6", high: "#FB923C", only: "#7CC4D4" };

/** @param {string} hex as "#1B5E9B" @returns {Rgb} */
export function rgb(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** @param {Rgb} a @param {Rgb} b @param {number} t 0 gives a, 1 gives b @returns {Rgb} */
export function mix(a, b, t) {
  const [red, green, blue] = a.map((x, i) => Math.round(x + (b[i] - x) * t));
  return [red, green, blue];
}

/**
 * The colour of a value as a share of the largest: from -1 to 1 where the scale is diverging, else from 0 to 1. What
 * lies outside counts as the end.
 *
 * @param {number} share
 * @param {Scale} scale
 * @returns {Rgb}
 */
export function scaleColour(share, { dark, diverging }) {
  const { zero, low, high, only } = dark ? DARK : LIGHT;
  const far = Math.min(1, diverging ? Math.abs(share) : Math.max(0, share));
  const end = diverging ? (share < 0 ? low : high) : only;
  return mix(rgb(zero), rgb(end), far);
}

/** The whole scale as a CSS gradient, from left to right. @param {Scale} scale */
export function gradient(scale) {
  const shares = [...Array(9).keys()].map((i) => (scale.diverging ? i / 4 - 1 : i / 8));
  return `linear-gradient(90deg, ${shares.map((share) => `rgb(${scaleColour(share, scale).join()})`).join()})`;
}
