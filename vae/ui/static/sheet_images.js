// The images of a data set, small, cut out of one sheet.

import { context2d, h } from "./dom.js";
import { cellOf } from "./geometry.js";
import { enlargement } from "./pixel_scale.js";

/**
 * @typedef {object} Thumbnail
 * @property {HTMLCanvasElement} node
 * @property {(i: number | null) => void} show the image of that point; none
 */

/** @param {{ side: number, columns: number }} sheet the images' side in pixels, and how many are in a row */
export function sheetImages({ side, columns }) {
  /** @type {HTMLImageElement | null} */
  let sheet = null;
  /** @type {Map<HTMLCanvasElement, number | null>} what each is to show, once the sheet is there */
  const wanted = new Map();
  /** @param {HTMLCanvasElement} canvas @param {number | null} i */
  const paint = (canvas, i) => {
    const c = context2d(canvas);
    c.clearRect(0, 0, side, side);
    if (!sheet || i === null) return;
    const [x, y] = cellOf(i, { columns, width: side, height: side });
    c.drawImage(sheet, x, y, side, side, 0, 0, side, side);
  };
  return {
    /** @param {number} room in CSS pixels @returns {Thumbnail} */
    thumbnail(room) {
      const node = h("canvas", { width: side, height: side, class: "crisp", "aria-hidden": "true" });
      node.style.width = node.style.height = `${side * enlargement(side, room)}px`;
      /** @param {number | null} i */
      const show = (i) => {
        if (!sheet) wanted.set(node, i);
        paint(node, i);
      };
      return { node, show };
    },
    /** @param {HTMLImageElement} image */
    setSheet(image) {
      sheet = image;
      for (const [canvas, i] of wanted) paint(canvas, i);
      wanted.clear();
    },
  };
}
