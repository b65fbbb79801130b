// An image as people post it: a square that social media show whole, with a small caption. downloads.py makes the same
// of animations and of sheets.

import { context2d, h } from "./dom.js";

/** Pixels a side. */
export const POST = 1080;
const STRIP = 64; // pixels of it for the caption
const MARGIN = 24; // pixels at the caption's sides
const TEXT = 28; // pixels, of the letters
const SIGNED = "VAE Studio";

/**
 * How many pixels of a post each of the image's pixels takes.
 *
 * @param {number} width
 * @param {number} height
 * @param {boolean} crisp whether it must be a whole number, where the image is not too large
 */
export function postScale(width, height, crisp) {
  const scale = (POST - STRIP) / Math.max(width, height);
  return crisp && scale > 1 ? Math.floor(scale) : scale;
}

/**
 * @param {HTMLCanvasElement} image at its true size
 * @param {string} caption what it is
 * @param {boolean} crisp whether it is to be seen pixel by pixel
 */
export function post(image, caption, crisp) {
  const canvas = h("canvas", { width: POST, height: POST });
  const c = context2d(canvas);
  c.fillStyle = "#000";
  c.fillRect(0, 0, POST, POST);
  const scale = postScale(image.width, image.height, crisp);
  const width = Math.round(image.width * scale);
  const height = Math.round(image.height * scale);
  c.imageSmoothingEnabled = !Number.isInteger(scale);
  c.imageSmoothingQuality = "high";
  c.drawImage(image, Math.floor((POST - width) / 2), Math.floor((POST - STRIP - height) / 2), width, height);
  c.font = `${TEXT}px system-ui, sans-serif`;
  c.textBaseline = "middle";
  const line = POST - STRIP / 2;
  const signed = c.measureText(SIGNED).width;
  c.fillStyle = "#969696";
  c.fillText(SIGNED, POST - MARGIN - signed, line);
  c.fillStyle = "#e0e0e0";
  c.fillText(caption, MARGIN, line, POST - 3 * MARGIN - signed);
  return canvas;
}
