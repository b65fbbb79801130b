// A map of points on canvas: dots coloured by class, with the class written in here and there. It says where the
// pointer or the arrow keys are, which point is nearest, and what was chosen; what is decoded there is not its
// business.

/** @import { MapPrior } from "./types" */
/** @import { Place, Square } from "./map_geometry.js" */
import { context2d, fontFamily, h, onResize, pixelRatio, themeColour, typeSize } from "./dom.js";
import { clamp, directionOf } from "./geometry.js";
import { classMark, fitsNear, nearestPoint, outlineOf, projection, squareAround } from "./map_geometry.js";

const PAD = 14; // pixels around the points
const NEAR = 9; // pixels, up to which a click means a point
const WRITTEN = 26; // points of each class that have it written in, at most
const APART = 15; // pixels between two of these
const STEP = 0.02; // of the map, for an arrow key
const FAST = 5; // times that, with Shift
const MANY = 1000; // points, from which on they are paler
const MOST_CLASSES = 40; // that are written in

/** @param {number} i */
const classColour = (i) => themeColour(`class-${i % 10}`);

/**
 * @param {object} options
 * @param {string} options.label
 * @param {(place: Place | null, nearest: number | null, keyboard: boolean) => void} options.moved
 * @param {(place: Place, point: number | null) => void} options.chosen
 */
export function scatterPlot({ label, moved, chosen }) {
  const canvas = h("canvas", { class: "vs-scatter", tabindex: 0, role: "application", "aria-label": label });
  const ground = h("canvas"); // the points, drawn once; what moves is drawn over them
  /** @type {Float32Array} two numbers each */
  let points = new Float32Array();
  /** @type {number[] | null} */
  let labels = null;
  /** @type {string[] | null} */
  let classes = null;
  /** @type {Place[] | null} */
  let outline = null;
  /** @type {Square | null} */
  let view = null;
  let size = 0;
  /** @type {Place | null} the place that was chosen */
  let base = null;
  /** @type {Place | null} where the pointer or the keyboard is */
  let at = null;
  /** @type {number | null} the point that has a ring around it */
  let ring = null;
  let byKeyboard = false;

  /** @param {number} i @returns {Place} */
  const point = (i) => [points[2 * i], points[2 * i + 1]];
  /** @param {Square} square */
  const project = (square) => projection(square, size, PAD);
  /** @param {Place} place */
  const nearest = (place) => nearestPoint(points, place);

  // ---- drawing
  /** @param {CanvasRenderingContext2D} c @param {Square} square */
  const paintOutline = (c, square) => {
    if (!outline) return;
    const { toPixel } = project(square);
    c.beginPath();
    for (const place of outline) c.lineTo(...toPixel(place));
    c.fillStyle = themeColour("card");
    c.fill();
    c.setLineDash([5, 4]);
    c.strokeStyle = themeColour("muted");
    c.stroke();
    c.setLineDash([]);
  };
  /** @param {CanvasRenderingContext2D} c @param {Square} square */
  const paintPoints = (c, square) => {
    const { toPixel } = project(square);
    const n = points.length / 2;
    const colours = (classes ?? []).map((_, i) => classColour(i));
    const plain = themeColour("second");
    c.globalAlpha = n > MANY ? 0.55 : 0.8;
    for (let i = 0; i < n; i++) {
      c.fillStyle = labels ? colours[labels[i]] : plain;
      c.beginPath();
      c.arc(...toPixel(point(i)), 1.9, 0, 7);
      c.fill();
    }
    c.globalAlpha = 1;
    if (!labels || !classes || classes.length > MOST_CLASSES) return;
    c.font = `700 ${typeSize(12)}px ${fontFamily()}`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.lineWidth = 3;
    c.lineJoin = "round";
    c.strokeStyle = themeColour("card");
    const written = classes.map(() => 0);
    /** @type {Place[]} where marks stand, so that none lies over another */
    const taken = [];
    for (let i = 0; i < n; i++) {
      const label = labels[i];
      if (written[label] >= WRITTEN) continue;
      const mark = classMark(classes, label);
      const [x, y] = toPixel(point(i));
      if (taken.some((other) => Math.hypot(other[0] - x, other[1] - y) < APART)) continue;
      taken.push([x, y]);
      written[label] += 1;
      c.strokeText(mark, x, y);
      c.fillStyle = colours[label];
      c.fillText(mark, x, y);
    }
  };
  const paintGround = () => {
    const c = context2d(ground);
    const ratio = pixelRatio();
    ground.width = ground.height = Math.round(size * ratio);
    c.scale(ratio, ratio);
    c.fillStyle = themeColour("sunken");
    c.fillRect(0, 0, size, size);
    if (!view) return;
    paintOutline(c, view);
    paintPoints(c, view);
  };
  const paint = () => {
    if (!size) return;
    const c = context2d(canvas);
    const ratio = pixelRatio();
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.drawImage(ground, 0, 0);
    if (!view) return;
    c.scale(ratio, ratio);
    const { toPixel } = project(view);
    /** @param {Place} place @param {number} radius @param {string} [inside] a colour */
    const circle = (place, radius, inside) => {
      c.beginPath();
      c.arc(...toPixel(place), radius, 0, 7);
      c.lineWidth = 4;
      c.strokeStyle = themeColour("card");
      c.stroke();
      c.lineWidth = 2;
      c.strokeStyle = themeColour("text");
      c.stroke();
      if (!inside) return;
      c.fillStyle = inside;
      c.fill();
    };
    if (at) {
      const [x, y] = toPixel(at);
      c.globalAlpha = 0.4;
      c.fillStyle = themeColour("text");
      c.fillRect(x - 0.5, 0, 1, size);
      c.fillRect(0, y - 0.5, size, 1);
      c.globalAlpha = 1;
    }
    if (ring !== null) circle(point(ring), 7);
    if (base) circle(base, 6, themeColour("accent"));
  };
  const lay = () => {
    size = canvas.clientWidth;
    canvas.width = canvas.height = Math.round(size * pixelRatio());
    paintGround();
    paint();
  };

  // ---- moving and choosing
  /** @param {Place | null} place @param {boolean} [keyboard] */
  const move = (place, keyboard = false) => {
    at = place;
    byKeyboard = keyboard && place !== null;
    ring = place && nearest(place);
    paint();
    moved(place, ring, keyboard);
  };
  /** @param {MouseEvent} event @param {Square} square */
  const placeOf = (event, square) => {
    const box = canvas.getBoundingClientRect();
    return project(square).toPlace(event.clientX - box.left, event.clientY - box.top);
  };
  /** @param {Place} place @param {Square} square */
  const choose = (place, square) => {
    const i = nearest(place);
    if (i === null) return;
    const { toPixel } = project(square);
    const [x, y] = toPixel(place);
    const [px, py] = toPixel(point(i));
    chosen(place, Math.hypot(x - px, y - py) <= NEAR ? i : null);
  };
  canvas.addEventListener("pointermove", (event) => {
    if (view) move(placeOf(event, view));
  });
  canvas.addEventListener("pointerleave", () => {
    if (view && !byKeyboard) move(null);
  });
  canvas.addEventListener("pointercancel", () => {
    if (view) move(null);
  });
  canvas.addEventListener("click", (event) => {
    if (view) choose(placeOf(event, view), view);
  });
  canvas.addEventListener("blur", () => {
    if (byKeyboard) move(null);
  });
  canvas.addEventListener("keydown", (event) => {
    if (!view) return;
    const { x, y, half } = view;
    const direction = directionOf(event.key);
    const here = at ?? base;
    if (direction) {
      const step = 2 * half * STEP * (event.shiftKey ? FAST : 1);
      const [fromX, fromY] = here ?? [x, y];
      const toX = clamp(fromX + direction[0] * step, x - half, x + half);
      const toY = clamp(fromY - direction[1] * step, y - half, y + half);
      move([toX, toY], true);
    } else if ((event.key === "Enter" || event.key === " ") && here) choose(here, view);
    else if (event.key === "Escape" && at) move(null, true);
    else return;
    event.preventDefault();
  });
  onResize(canvas, lay);

  return {
    node: canvas,
    nearest,
    /**
     * @param {{ points: Float32Array, labels: number[] | null, classes: string[] | null, prior: MapPrior }} found
     * @returns {boolean} whether the prior lies near enough to be shown
     */
    set(found) {
      ({ points, labels, classes } = found);
      const line = outlineOf(found.prior);
      const fits = fitsNear(line, squareAround(points, []));
      outline = fits ? line : null;
      view = squareAround(points, outline ?? []);
      at = ring = null;
      byKeyboard = false;
      if (size) {
        paintGround();
        paint();
      }
      return fits;
    },
    /** @param {Place} place */
    setBase(place) {
      base = place;
      paint();
    },
    /** @param {number | null} i */
    setRing(i) {
      ring = i;
      paint();
    },
    draw() {
      if (size) lay();
    },
  };
}
