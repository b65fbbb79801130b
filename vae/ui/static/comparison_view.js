// The region that all panes of a comparison show: arithmetic only.

import { clamp } from "./geometry.js";
import { isSmall } from "./pixel_scale.js";

/**
 * @typedef {object} View
 * @property {number} x of the centre, in the picture's pixels
 * @property {number} y
 * @property {number} zoom CSS pixels that a pixel of the picture takes
 * @property {boolean} fitted whether all of the picture is shown
 */

/**
 * An image in a pane.
 *
 * @typedef {object} Shown
 * @property {number} width in its own pixels
 * @property {number} height
 * @property {[number, number, number, number]} box left, top, right, bottom of what it shows, in the picture's pixels
 */

/**
 * @typedef {object} Limits
 * @property {number} left of what is shown, in the picture's pixels
 * @property {number} top
 * @property {number} right
 * @property {number} bottom
 * @property {number} side of a pane, in CSS pixels
 * @property {number} fit the smallest zoom
 * @property {number} most the largest
 */

const CLOSEST = 40; // CSS pixels for the finest pixel

/** How many of the picture's pixels one of the image's covers. @param {Shown} image */
export const pitchOf = ({ box, width }) => (box[2] - box[0]) / width;

/**
 * @param {Shown[]} images
 * @param {number} side of a pane, in CSS pixels
 * @param {number} ratio device pixels in a CSS pixel
 * @returns {Limits | null} null if there is nothing to show
 */
export function limitsOf(images, side, ratio) {
  if (!images.length) return null;
  const [left, top] = [0, 1].map((i) => Math.min(...images.map(({ box }) => box[i])));
  const [right, bottom] = [2, 3].map((i) => Math.max(...images.map(({ box }) => box[i])));
  const finest = Math.min(...images.map(pitchOf));
  let fit = Math.min(side / (right - left), side / (bottom - top));
  const { width } = images[0];
  const alike = images.every((each) => each.width === width && isSmall(Math.max(each.width, each.height)));
  if (alike) fit = (Math.floor(fit * finest * ratio) || 1) / (finest * ratio); // whole device pixels
  return { left, top, right, bottom, side, fit, most: Math.max(fit, CLOSEST / finest) };
}

/** The view within its limits. @param {View} view @param {Limits} limits @returns {View} */
export function settled(view, limits) {
  const { left, top, right, bottom, side, fit, most } = limits;
  const fitted = view.fitted || view.zoom <= fit * 1.001;
  const zoom = fitted ? fit : clamp(view.zoom, fit, most);
  const half = side / zoom / 2;
  /** @param {number} v @param {number} low @param {number} high */
  const inside = (v, low, high) => (high - low <= 2 * half ? (low + high) / 2 : clamp(v, low + half, high - half));
  return { x: inside(view.x, left, right), y: inside(view.y, top, bottom), zoom, fitted };
}

/**
 * The view closer by `factor`; the point of the picture under (x, y), CSS pixels from the pane's middle, stays there.
 *
 * @param {View} view
 * @param {Limits} limits
 * @param {number} factor
 * @param {number} [x]
 * @param {number} [y]
 * @returns {View}
 */
export function zoomed(view, limits, factor, x = 0, y = 0) {
  const zoom = clamp(view.zoom * factor, limits.fit, limits.most);
  const moved = { x: view.x + x / view.zoom - x / zoom, y: view.y + y / view.zoom - y / zoom };
  return settled({ ...moved, zoom, fitted: false }, limits);
}

/** @param {View} view @param {Limits} limits @param {number} dx in CSS pixels @param {number} dy @returns {View} */
export const panned = (view, limits, dx, dy) =>
  settled({ ...view, x: view.x + dx / view.zoom, y: view.y + dy / view.zoom }, limits);

/**
 * Which part of an image is seen along one axis: whole pixels of it, one more on each side.
 *
 * @param {number} start where the image begins, in device pixels of the canvas
 * @param {number} step device pixels that one of its pixels takes
 * @param {number} size of the image, in its pixels
 * @param {number} room of the canvas, in device pixels
 * @returns {[first: number, count: number]}
 */
export function seenPart(start, step, size, room) {
  const first = Math.max(0, Math.floor(-start / step) - 1);
  const end = Math.min(size, Math.ceil((room - start) / step) + 1);
  return [first, end - first];
}

/** How much the wheel zooms. @param {number} delta @param {boolean} inLines whether that counts lines, not pixels */
export const wheelFactor = (delta, inLines) => Math.exp(-clamp(delta * (inLines ? 20 : 1), -60, 60) / 240);

/**
 * |a - b| times the gain, in each colour; opaque.
 *
 * @param {Uint8ClampedArray} a four bytes a pixel
 * @param {Uint8ClampedArray} b
 * @param {number} gain
 */
export function amplifiedDifference(a, b, gain) {
  const result = new Uint8ClampedArray(a.length);
  for (let i = 0; i < a.length; i++) result[i] = i % 4 === 3 ? 255 : Math.abs(a[i] - b[i]) * gain;
  return result;
}

/** Whether all images show the same thing in the same way, so that their figures can be compared.
 * @param {(Shown & { grey: boolean })[]} images */
export const areComparable = (images) =>
  new Set(images.map(({ width, height, grey, box }) => `${width}×${height}${grey}${box}`)).size <= 1;

/**
 * The name of the model that is best seen beside another: of its data, else of its kind and size, the first in order.
 *
 * @template {{ name: string, trained_on: string | null, family: string, image_size: number, kind: string }} Model
 * @param {Model | undefined} model
 * @param {Model[]} others
 * @returns {string | undefined}
 */
export function mostAlike(model, others) {
  /** @param {Model} other */
  const likeness = (other) =>
    8 * Number(other.trained_on === model?.trained_on) +
    4 * Number(other.family === model?.family) +
    2 * Number(other.image_size === model?.image_size) +
    Number(other.kind === model?.kind);
  return [...others].sort((a, b) => likeness(b) - likeness(a))[0]?.name;
}

/**
 * The best of some figures; null where they cannot be compared, are not all known, or do not differ.
 *
 * @param {(number | undefined)[]} values the higher the better
 * @param {boolean} comparable
 */
export function bestOf(values, comparable) {
  const known = values.filter((value) => value !== undefined);
  if (!comparable || known.length < 2 || known.length < values.length || new Set(known).size < 2) return null;
  return Math.max(...known);
}
