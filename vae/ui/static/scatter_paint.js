// How a map of points is painted: dots coloured by class, the class written in here and there, the prior's outline.

/** @import { Place, Square } from "./map_geometry.js" */
import { context2d, fontFamily, pixelRatio, themeColour, typeSize } from "./dom.js";
import { classMark, projection } from "./map_geometry.js";

export const PAD = 14; // pixels around the points
const WRITTEN = 26; // points of each class that have it written in, at most
const APART = 15; // pixels between two of these
const MANY = 1000; // points, from which on they are paler
const PALE = 0.12; // of what is not selected, where something is
const MOST_CLASSES = 40; // that are written in
const DOT = 1.9; // pixels, a point's radius; it grows up to twice that when one comes nearer
const TURN = 2 * Math.PI;

/**
 * @typedef {object} Chart
 * @property {Float32Array} points two numbers each
 * @property {number[] | null} labels
 * @property {string[] | null} classes
 * @property {Place[] | null} outline within which most draws from the prior lie
 * @property {Set<number>} selected points
 */

/** @param {number} i */
const classColour = (i) => themeColour(`class-${i % 10}`);

/** @param {CanvasRenderingContext2D} c @param {Place[]} outline @param {(place: Place) => [number, number]} toPixel */
export function paintOutline(c, outline, toPixel) {
  c.beginPath();
  for (const place of outline) c.lineTo(...toPixel(place));
  c.fillStyle = themeColour("card");
  c.fill();
  c.setLineDash([5, 4]);
  c.strokeStyle = themeColour("muted");
  c.stroke();
  c.setLineDash([]);
}

/**
 * Paints all that lies still, once; what moves is drawn over it.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} size in CSS pixels
 * @param {Chart} chart
 * @param {Square | null} view the part that is seen; null before there are points
 * @param {number} zoom how much nearer than the whole map it is
 */
export function paintGround(canvas, size, { points, labels, classes, outline, selected }, view, zoom) {
  const c = context2d(canvas);
  const ratio = pixelRatio();
  canvas.width = canvas.height = Math.round(size * ratio);
  c.scale(ratio, ratio);
  c.fillStyle = themeColour("sunken");
  c.fillRect(0, 0, size, size);
  if (!view) return;
  const { toPixel } = projection(view, size, PAD);
  if (outline) paintOutline(c, outline, toPixel);

  const n = points.length / 2;
  const pixels = [...Array(n).keys()].map((i) => toPixel([points[2 * i], points[2 * i + 1]]));
  const colours = (classes ?? []).map((_, i) => classColour(i));
  const plain = themeColour("second");
  const radius = DOT * Math.min(2, Math.sqrt(zoom));
  const strong = n > MANY && zoom < 2 ? 0.55 : 0.8;
  pixels.forEach(([x, y], i) => {
    if (x < 0 || y < 0 || x > size || y > size) return;
    c.globalAlpha = selected.size && !selected.has(i) ? PALE : strong;
    c.fillStyle = labels ? colours[labels[i]] : plain;
    c.beginPath();
    c.arc(x, y, radius, 0, TURN);
    c.fill();
  });
  c.globalAlpha = 1;
  if (!labels || !classes || classes.length > MOST_CLASSES) return;
  c.font = `700 ${typeSize(12)}px ${fontFamily()}`;
  c.textAlign = "center";
  c.textBaseline = "middle";
  c.lineWidth = 3;
  c.lineJoin = "round";
  c.strokeStyle = themeColour("card");
  const written = classes.map(() => 0);
  /** @type {[number, number][]} where marks stand, so that none lies over another */
  const taken = [];
  pixels.forEach(([x, y], i) => {
    const label = labels[i];
    if (written[label] >= WRITTEN || (selected.size && !selected.has(i))) return;
    if (x < 0 || y < 0 || x > size || y > size) return;
    if (taken.some((other) => Math.hypot(other[0] - x, other[1] - y) < APART)) return;
    const mark = classMark(classes, label);
    taken.push([x, y]);
    written[label] += 1;
    c.strokeText(mark, x, y);
    c.fillStyle = colours[label];
    c.fillText(mark, x, y);
  });
}

/**
 * A ring around a place, or a dot where it has a colour inside.
 *
 * @param {CanvasRenderingContext2D} c
 * @param {[number, number]} at in pixels
 * @param {number} radius
 * @param {string} [inside]
 */
export function paintRing(c, at, radius, inside) {
  c.beginPath();
  c.arc(...at, radius, 0, TURN);
  c.lineWidth = 4;
  c.strokeStyle = themeColour("card");
  c.stroke();
  c.lineWidth = 2;
  c.strokeStyle = themeColour("text");
  c.stroke();
  if (!inside) return;
  c.fillStyle = inside;
  c.fill();
}

/** Hair lines through a place. @param {CanvasRenderingContext2D} c @param {[number, number]} at @param {number} size */
export function paintCross(c, [x, y], size) {
  c.globalAlpha = 0.4;
  c.fillStyle = themeColour("text");
  c.fillRect(x - 0.5, 0, 1, size);
  c.fillRect(0, y - 0.5, size, 1);
  c.globalAlpha = 1;
}

/** The outline that is being drawn around a region. @param {CanvasRenderingContext2D} c @param {Place[]} corners */
export function paintLasso(c, corners) {
  if (corners.length < 2) return;
  c.beginPath();
  for (const corner of corners) c.lineTo(...corner);
  c.closePath();
  c.globalAlpha = 0.15;
  c.fillStyle = themeColour("accent");
  c.fill();
  c.globalAlpha = 1;
  c.lineWidth = 2;
  c.strokeStyle = themeColour("accent");
  c.stroke();
}
