// Arithmetic that several components share.

/** @param {number} value @param {number} low @param {number} high */
export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Where an arrow key leads, to the right and down; undefined for other keys. @param {string} key
 * @returns {[number, number] | undefined} */
export const directionOf = (key) => DIRECTIONS[key];

/**
 * Where an image stands in a sprite: images of one size side by side, `columns` in a row.
 *
 * @param {number} i
 * @param {{ columns: number, width: number, height: number }} sprite
 * @returns {[number, number]} left and top, in pixels
 */
export const cellOf = (i, { columns, width, height }) => [(i % columns) * width, Math.floor(i / columns) * height];
