// A map of digits that glides into another one of the same digits, so that one sees where each of them goes.

/** @import { Place, Square } from "./map_geometry.js" */
import { context2d, fontFamily, h, onResize, onThemeChange, pixelRatio, themeColour } from "./dom.js";
import { projection } from "./map_geometry.js";
import { paintOutline } from "./scatter_paint.js";

const PAD = 10; // CSS pixels around the points
const GLIDE = 600; // ms
const DIGITS = 10;
const APART = 13; // CSS pixels between two classes that are written in

/** points: two numbers each; outline: where 95% of noise lands. @typedef {object} Scene @property {Float32Array} points
 * @property {Place[]} outline @property {Square} view */

/** @param {number} a @param {number} b @param {number} t */
const between = (a, b, t) => a + t * (b - a);

/** One scene on its way to another of as many points. @param {Scene} a @param {Scene} b @param {number} t from 0 to 1
 * @returns {Scene} */
export function blend(a, b, t) {
  return {
    points: a.points.map((value, i) => between(value, b.points[i], t)),
    outline: a.outline.map(([x, y], i) => [between(x, b.outline[i][0], t), between(y, b.outline[i][1], t)]),
    view: {
      x: between(a.view.x, b.view.x, t),
      y: between(a.view.y, b.view.y, t),
      half: between(a.view.half, b.view.half, t),
    },
  };
}

/** Where each class is written: its middle. @param {Float32Array} points @param {number[]} labels @returns {Place[]} */
export function middles(points, labels) {
  return [...Array(DIGITS).keys()].map((digit) => {
    const own = labels.flatMap((label, i) => (label === digit ? [i] : []));
    /** @param {0 | 1} axis */
    const median = (axis) => own.map((i) => points[2 * i + axis]).sort((a, b) => a - b)[own.length >> 1];
    return [median(0), median(1)];
  });
}

/** Which classes are written where, none over another: one that has no room is left to the one that stands there.
 * @param {Place[]} places in pixels, of each class @returns {{ digits: number[], at: Place }[]} */
export function apart(places) {
  /** @type {{ digits: number[], at: Place }[]} */
  const found = [];
  places.forEach(([x, y], digit) => {
    const near = found.find(({ at }) => Math.hypot(at[0] - x, at[1] - y) < APART);
    if (near) near.digits.push(digit);
    else found.push({ digits: [digit], at: [x, y] });
  });
  return found;
}

export function betaMap() {
  const label = "A thousand digits as the model lays them out; the dashed circle is where noise lands";
  const node = h("canvas", { class: "vs-beta-map", role: "img", "aria-label": label });
  /** @type {number[]} */
  let labels = [];
  /** @type {Scene | null} */
  let shown = null;
  let frame = 0;

  const paint = () => {
    const size = node.clientWidth;
    if (!size || !shown) return;
    const { points, outline, view } = shown;
    const ratio = pixelRatio();
    node.width = node.height = Math.round(size * ratio);
    const c = context2d(node);
    c.scale(ratio, ratio);
    const { toPixel } = projection(view, size, PAD);
    const colours = [...Array(DIGITS).keys()].map((i) => themeColour(`class-${i}`));
    paintOutline(c, outline, toPixel);
    c.globalAlpha = 0.75;
    labels.forEach((digit, i) => {
      c.fillStyle = colours[digit];
      c.beginPath();
      c.arc(...toPixel([points[2 * i], points[2 * i + 1]]), 1.8, 0, 7);
      c.fill();
    });
    c.globalAlpha = 1;
    c.setLineDash([]);
    c.font = `700 15px ${fontFamily()}`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.lineWidth = 4;
    c.lineJoin = "round";
    c.strokeStyle = themeColour("card");
    const written = apart(middles(points, labels).map(toPixel));
    for (const { digits, at } of written) {
      const all = digits.length === DIGITS;
      const text = all ? "all" : String(digits[0]);
      const [x, y] = all ? [at[0], at[1] - APART] : at;
      c.strokeText(text, x, y);
      c.fillStyle = all ? themeColour("text") : colours[digits[0]];
      c.fillText(text, x, y);
    }
  };
  onResize(node, paint);
  onThemeChange(paint);

  return {
    node,
    /** @param {number[]} digits of the points */
    setLabels(digits) {
      labels = digits;
    },
    /** @param {Scene} scene @param {boolean} glide */
    show(scene, glide) {
      cancelAnimationFrame(frame);
      const from = shown;
      if (!from || !glide || matchMedia("(prefers-reduced-motion: reduce)").matches) {
        shown = scene;
        paint();
        return;
      }
      const begun = performance.now();
      /** @param {number} now */
      const step = (now) => {
        const t = Math.min(1, Math.max(0, (now - begun) / GLIDE));
        shown = t < 1 ? blend(from, scene, t * t * (3 - 2 * t)) : scene;
        paint();
        if (t < 1) frame = requestAnimationFrame(step);
      };
      frame = requestAnimationFrame(step);
    },
  };
}
