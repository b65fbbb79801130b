// A latent's channels as numbers, and what is done to each.

/** @import { ChannelEdit } from "./types" */

const FINEST = 64; // rows and columns of a channel's small map, at most

/** A channel as it is. @param {unknown} _ @param {number} i @returns {ChannelEdit} */
export const ASIS = (_, i) => ({ source: i, scale: 1, noise: 0 });

/** @param {ChannelEdit[]} edits */
export const isEdited = (edits) => edits.some((edit, i) => edit.source !== i || edit.scale !== 1 || edit.noise !== 0);

/**
 * The rows of numbers of each channel, thinned, and the largest magnitude.
 *
 * @param {Float32Array} values channel by channel, row by row
 * @param {[number, number, number]} shape channels, height and width
 */
export function channelRows(values, [channels, height, width]) {
  const step = Math.max(1, Math.ceil(Math.max(height, width) / FINEST));
  const places = (/** @type {number} */ length) => Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);
  const [down, across] = [places(height), places(width)];
  const rows = Array.from({ length: channels }, (_, c) =>
    down.map((y) => across.map((x) => values[(c * height + y) * width + x])),
  );
  const limit = rows.flat(2).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  return { channels: rows, limit };
}
