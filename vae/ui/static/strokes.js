// A drawing as strokes on a square, whatever size it is shown at. Lengths are shares of the square's side.

import { clamp } from "./geometry.js";

/** @typedef {[number, number]} Point to the right and down, from 0 to 1 */
/** @typedef {{ colour: string, points: Point[] }} Stroke */

const WIDTH = 0.085; // of a stroke: as thick as those of handwritten digits in 28 pixels
const APART = 0.004; // nearer points add nothing
const STEP = 1 / 28; // of the brush, for an arrow key
const FAST = 4; // times that, with Shift

/** What can be drawn, taken back and cleared; clearing can be taken back, too. */
export function strokeList() {
  /** @type {Stroke[][]} all states of the drawing, the current one last */
  const states = [[]];
  const now = () => states[states.length - 1];
  return {
    /** @returns {readonly Stroke[]} */
    all: now,
    /** @param {string} colour @param {Point} point */
    begin(colour, point) {
      states.push([...now(), { colour, points: [point] }]);
    },
    /** Leads the last stroke on. @param {Point} point @returns {boolean} whether that changes anything */
    extend(point) {
      const points = now().at(-1)?.points;
      const from = points?.at(-1);
      if (!points || !from || Math.hypot(point[0] - from[0], point[1] - from[1]) < APART) return false;
      points.push(point);
      return true;
    },
    undo: () => states.length > 1 && Boolean(states.pop()),
    /** @returns {boolean} whether there was something */
    clear() {
      if (!now().length) return false;
      states.push([]);
      return true;
    },
    canUndo: () => states.length > 1,
  };
}

/** Where an arrow key takes the brush. @param {Point} brush @param {[number, number]} direction @param {boolean} fast
 * @returns {Point} */
export function stepBrush([x, y], direction, fast) {
  const step = STEP * (fast ? FAST : 1);
  return [clamp(x + direction[0] * step, 0, 1), clamp(y + direction[1] * step, 0, 1)];
}

/** Where the brush is, in words. @param {Point} brush */
export function placeInWords([x, y]) {
  const percent = (/** @type {number} */ share) => Math.round(100 * share);
  return `${percent(x)}% from the left, ${percent(y)}% from the top`;
}

/**
 * @param {CanvasRenderingContext2D} c
 * @param {readonly Stroke[]} strokes
 * @param {number} size of the canvas, in pixels
 * @param {{ paper: string, ink: string | null }} colours ink: of all strokes, null for each its own
 */
export function paintStrokes(c, strokes, size, { paper, ink }) {
  c.fillStyle = paper;
  c.fillRect(0, 0, size, size);
  c.lineWidth = WIDTH * size;
  c.lineCap = c.lineJoin = "round";
  for (const { colour, points } of strokes) {
    c.strokeStyle = ink ?? colour;
    c.beginPath();
    c.moveTo(points[0][0] * size, points[0][1] * size);
    // Through the middles, the points between them being what it bends to: a hand's line has no corners.
    points.slice(0, -1).forEach(([x, y], i) => {
      const [nextX, nextY] = points[i + 1];
      c.quadraticCurveTo(x * size, y * size, ((x + nextX) / 2) * size, ((y + nextY) / 2) * size);
    });
    const [x, y] = points[points.length - 1];
    c.lineTo(x * size, y * size); // of one point: a dot
    c.stroke();
  }
}
