// A channel of a latent as a picture of its numbers; hover or the arrow keys read them.

import { scaleColour } from "./colour_scale.js";
import { announce, context2d, h, isDark } from "./dom.js";
import { number } from "./format.js";
import { clamp, directionOf } from "./geometry.js";

/**
 * @param {object} map
 * @param {number[][]} map.rows
 * @param {number} map.limit the largest magnitude, which has the end's colour
 * @param {boolean} map.diverging whether values have a sign
 * @param {string} map.label what it shows, in words
 * @param {string} map.caption
 */
export function heatmap({ rows, limit, diverging, label, caption }) {
  const height = rows.length;
  const width = rows[0].length;
  const canvas = h("canvas", { class: "crisp", width, height, tabindex: 0, role: "img", "aria-label": label });
  const reading = h("figcaption", {}, caption);
  const node = h("figure", { class: "vs-map" }, canvas, reading);

  const draw = () => {
    const context = context2d(canvas);
    const pixels = context.createImageData(width, height);
    const scale = { dark: isDark(), diverging };
    rows.flat().forEach((value, i) => {
      pixels.data.set([...scaleColour(value / limit, scale), 255], 4 * i);
    });
    context.putImageData(pixels, 0, 0);
  };

  /** @type {[number, number] | null} column and row */
  let at = null;
  /** @param {number} column @param {number} row */
  const read = (column, row) => {
    at = [clamp(column, 0, width - 1), clamp(row, 0, height - 1)];
    reading.textContent = `row ${at[1] + 1}, column ${at[0] + 1}: ${number(rows[at[1]][at[0]])}`;
  };
  const leave = () => {
    at = null;
    reading.textContent = caption;
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    read(Math.floor(across * width), Math.floor(down * height));
  });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => {
    const direction = directionOf(event.key);
    if (!direction) return;
    event.preventDefault();
    if (at) read(at[0] + direction[0], at[1] + direction[1]);
    else read(0, 0);
    announce(reading.textContent ?? "");
  });
  draw();
  return { node, canvas, width, draw };
}
