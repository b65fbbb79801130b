// A map of points on canvas. It says where the pointer, the finger or the arrow keys are, what was chosen, and which
// points were selected; what is decoded there is not its business.

/** @import { MapPrior } from "./types" */
/** @import { Place, Square } from "./map_geometry.js" */
import { context2d, h, onResize, pixelRatio, themeColour } from "./dom.js";
import { clamp } from "./geometry.js";
import {
  fitsNear,
  nearestPoint,
  outlineOf,
  pointsInside,
  projection,
  squareAround,
  within,
  zoomed,
} from "./map_geometry.js";
import { addMapGestures } from "./scatter_gestures.js";
import { PAD, paintCross, paintGround, paintLasso, paintRing } from "./scatter_paint.js";

const NEAR = 9; // pixels, up to which a click means a point
const STEP = 0.02; // of what is seen, for an arrow key
const FAST = 5; // times that, with Shift

/** @typedef {"mouse" | "touch" | "keyboard"} How a place was pointed at */

/**
 * @param {object} options
 * @param {string} options.label
 * @param {(place: Place | null, how: How) => void} options.moved
 * @param {(place: Place, point: number | null) => void} options.chosen
 * @param {(points: number[]) => void} options.selected inside an outline that was drawn
 * @param {(point: number) => void} options.picked one by one, while selecting
 * @param {() => void} options.viewed another part of the map is seen
 */
export function scatterPlot({ label, moved, chosen, selected, picked, viewed }) {
  const canvas = h("canvas", { class: "vs-scatter", tabindex: 0, role: "application", "aria-label": label });
  const ground = h("canvas"); // what lies still, painted once
  /** @type {import("./scatter_paint.js").Chart} */
  let chart = { points: new Float32Array(), labels: null, classes: null, outline: null, selected: new Set() };
  /** @type {Square | null} */
  let whole = null;
  /** @type {Square | null} what is seen of it */
  let view = null;
  let size = 0;
  /** @type {Place | null} the place that was chosen */
  let base = null;
  /** @type {Place | null} where one looks */
  let at = null;
  /** @type {number[]} points that have a ring around them, the first one's larger */
  let rings = [];
  /** @type {Place[]} in pixels, the outline that is being drawn */
  let lasso = [];
  let selecting = false;
  let byKeyboard = false;
  let due = false;

  /** @param {number} i @returns {Place} */
  const point = (i) => [chart.points[2 * i], chart.points[2 * i + 1]];
  const toPixel = (/** @type {Place} */ place) => projection(view ?? { x: 0, y: 0, half: 1 }, size, PAD).toPixel(place);
  const toPlace = (/** @type {Place} */ pixel) =>
    projection(view ?? { x: 0, y: 0, half: 1 }, size, PAD).toPlace(...pixel);

  // ---- drawing
  const paint = () => {
    if (!size) return;
    const c = context2d(canvas);
    const ratio = pixelRatio();
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.drawImage(ground, 0, 0);
    if (!view) return;
    c.scale(ratio, ratio);
    if (at) paintCross(c, toPixel(at), size);
    for (const i of rings.slice(1)) paintRing(c, toPixel(point(i)), 4);
    if (rings.length) paintRing(c, toPixel(point(rings[0])), 7);
    if (base) paintRing(c, toPixel(base), 6, themeColour("accent"));
    paintLasso(c, lasso);
  };
  const repaint = () => {
    due = false;
    if (!size) return;
    paintGround(ground, size, chart, view, whole && view ? whole.half / view.half : 1);
    paint();
  };
  /** At most once for each frame of the screen. */
  const repaintSoon = () => {
    if (!due) requestAnimationFrame(repaint);
    due = true;
  };
  const lay = () => {
    size = canvas.clientWidth;
    canvas.width = canvas.height = Math.round(size * pixelRatio());
    repaint();
  };

  // ---- looking and choosing
  /** @param {Place | null} place @param {How} how */
  const move = (place, how) => {
    at = place;
    byKeyboard = how === "keyboard" && place !== null;
    paint();
    moved(place, how);
  };
  const leave = () => {
    if (at && !byKeyboard) move(null, "mouse");
  };
  /** @param {Place} place */
  const choose = (place) => {
    const i = nearestPoint(chart.points, place);
    if (i === null) return;
    const [x, y] = toPixel(place);
    const [px, py] = toPixel(point(i));
    const near = Math.hypot(x - px, y - py) <= NEAR;
    if (!selecting) chosen(place, near ? i : null);
    else if (near) picked(i);
  };

  // ---- zooming
  const isWhole = () => !whole || !view || view.half >= whole.half;
  /** @param {Square} next */
  const see = (next) => {
    view = next;
    repaintSoon();
    viewed();
  };
  /** @param {number} factor @param {Place} [pixel] */
  const zoom = (factor, pixel) => {
    if (whole && view) see(zoomed(view, whole, factor, pixel ? toPlace(pixel) : (at ?? base ?? undefined)));
  };
  const fit = () => {
    if (whole) see(whole);
  };

  addMapGestures(canvas, {
    isWhole,
    isSelecting: () => selecting,
    look: (pixel, how) => {
      if (view) move(toPlace(pixel), how);
    },
    leave,
    choose: (pixel) => {
      if (view) choose(toPlace(pixel));
    },
    outline(corners) {
      lasso = corners;
      paint();
    },
    select(corners) {
      lasso = [];
      selected(pointsInside(chart.points, corners.map(toPlace)));
    },
    zoom,
    pan(dx, dy) {
      if (!whole || !view) return;
      const scale = (2 * view.half) / (size - 2 * PAD);
      see(within({ x: view.x - dx * scale, y: view.y + dy * scale, half: view.half }, whole));
    },
    fit,
    step([right, below], fast) {
      if (!whole || !view) return;
      const step = 2 * view.half * STEP * (fast ? FAST : 1);
      const [x, y] = at ?? base ?? [view.x, view.y];
      const toX = clamp(x + right * step, whole.x - whole.half, whole.x + whole.half);
      const toY = clamp(y - below * step, whole.y - whole.half, whole.y + whole.half);
      const far = Math.max(Math.abs(toX - view.x), Math.abs(toY - view.y)) > view.half;
      if (far) see(within({ x: toX, y: toY, half: view.half }, whole));
      move([toX, toY], "keyboard");
    },
    enter() {
      const here = at ?? base;
      if (here) choose(here);
    },
    escape() {
      if (at) move(null, "keyboard");
    },
  });
  canvas.addEventListener("blur", () => {
    if (byKeyboard) move(null, "keyboard");
  });
  onResize(canvas, lay);

  return {
    node: canvas,
    toPixel,
    zoom,
    fit,
    isWhole,
    /**
     * @param {{ points: Float32Array, labels: number[] | null, classes: string[] | null, prior: MapPrior }} found
     * @returns {boolean} whether the prior lies near enough to be shown
     */
    set({ points, labels, classes, prior }) {
      const line = outlineOf(prior);
      const fits = fitsNear(line, squareAround(points, []));
      chart = { points, labels, classes, outline: fits ? line : null, selected: chart.selected };
      view = whole = squareAround(points, chart.outline ?? []);
      at = null;
      rings = [];
      byKeyboard = false;
      repaint();
      viewed();
      return fits;
    },
    /** @param {Place} place */
    setBase(place) {
      base = place;
      paint();
    },
    /** Marks a place without telling of it. @param {Place | null} place */
    setPlace(place) {
      at = place;
      paint();
    },
    /** @param {number[]} points */
    setRings(points) {
      rings = points;
      paint();
    },
    /** @param {boolean} on whether a drag draws an outline and a click picks a point */
    setSelecting(on) {
      selecting = on;
    },
    /** @param {Iterable<number>} points that stand out */
    setSelected(points) {
      chart.selected = new Set(points);
      repaintSoon();
    },
    draw() {
      if (size) lay();
    },
  };
}
