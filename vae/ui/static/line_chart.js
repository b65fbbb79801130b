// Line charts on canvas. One chart holds some series; several share one cursor, one zoom, one scale.

/** @import { Point, Series } from "./chart_data.js" */
import { axisRange, endOf, pointBefore, pointsWithin, shareOf, ticks, zoomRange } from "./chart_data.js";
import { announce, context2d, fontFamily, h, onResize, pixelRatio, themeColour, typeSize } from "./dom.js";
import { number } from "./format.js";
import { clamp } from "./geometry.js";
import { glossed } from "./term.js";

const PAD = { left: 46, right: 10, top: 8, bottom: 22 };
const DRAG = 5; // pixels, from which on a press is meant to zoom
const FEW = 60; // points in sight, up to which each has a dot
const SMALLEST_ZOOM = 1 / 500; // of what is shown

/**
 * What the charts of one view have in common.
 *
 * @typedef {object} SharedView
 * @property {boolean} log
 * @property {[number, number] | null} zoom
 * @property {number | null} cursor
 * @property {() => void} moved is called when the cursor was moved
 * @property {() => void} zoomed
 */

/** @param {number} v */
function tickText(v) {
  if (Math.abs(v) >= 1e4) return `${number(v / 1000)}k`;
  if (Math.abs(v) >= 100 || Number.isInteger(v)) return number(v);
  return String(Number(v.toPrecision(3))).replace("-", "−");
}

/**
 * Draws the series into a context, as if it were `width` by `height` CSS pixels.
 *
 * @param {CanvasRenderingContext2D} c
 * @param {{ width: number, height: number, series: Series[], range: [number, number], log: boolean,
 *   cursor: number | null, brush: [number, number] | null }} chart
 */
function paintChart(c, { width, height, series, range, log, cursor, brush }) {
  const inner = { width: width - PAD.left - PAD.right, height: height - PAD.top - PAD.bottom };
  const bottom = height - PAD.bottom;
  const lines = series.map((s) => ({
    ...s,
    line: pointsWithin(s.points, range),
    behind: s.raw ? pointsWithin(s.raw, range) : [],
  }));
  const values = lines.flatMap(({ line, behind }) => [...line, ...behind].map((point) => point[1]));
  const empty = !values.some(Number.isFinite);
  const axis = axisRange(values, log);
  const muted = themeColour("muted");
  /** @param {number} at */
  const x = (at) => PAD.left + ((at - range[0]) / (range[1] - range[0])) * inner.width;
  /** @param {number} value */
  const y = (value) => bottom - shareOf(value, axis) * inner.height;
  /** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 */
  const straight = (x1, y1, x2, y2) => {
    c.beginPath();
    c.moveTo(x1, y1);
    c.lineTo(x2, y2);
    c.stroke();
  };
  /** @param {Point} point @param {number} radius */
  const dot = ([at, value], radius) => {
    c.beginPath();
    c.arc(x(at), y(value), radius, 0, 7);
    c.fill();
  };
  /** @param {Point[]} points */
  const curve = (points) => {
    c.beginPath();
    let drawing = false;
    for (const [at, value] of points) {
      if (!Number.isFinite(value)) drawing = false;
      else {
        if (drawing) c.lineTo(x(at), y(value));
        else c.moveTo(x(at), y(value));
        drawing = true;
      }
    }
    c.stroke();
  };

  const drawAxes = () => {
    c.font = `${typeSize(11)}px ${fontFamily()}`;
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    c.strokeStyle = themeColour("line");
    c.fillStyle = muted;
    for (const v of ticks(axis)) {
      const level = Math.round(y(v)) + 0.5;
      straight(PAD.left, level, width - PAD.right, level);
      if (!empty) c.fillText(tickText(v), PAD.left - 6, y(v));
    }
    if (empty) return;
    c.textBaseline = "top";
    c.fillText("epoch", PAD.left - 6, bottom + 6);
    c.textAlign = "center";
    for (const v of ticks({ low: range[0], high: range[1], log: false }))
      if (x(v) > PAD.left + 8 && x(v) < width - PAD.right - 4) c.fillText(tickText(v), x(v), bottom + 6);
  };
  const drawLines = () => {
    c.lineJoin = "round";
    for (const { line, behind, colour, thin, dots } of lines) {
      c.strokeStyle = c.fillStyle = themeColour(colour);
      c.lineWidth = 1;
      c.globalAlpha = 0.3;
      curve(behind);
      c.globalAlpha = thin ? 0.75 : 1;
      c.lineWidth = thin ? 1.1 : 1.8;
      c.setLineDash(thin ? [4, 3] : []);
      curve(line);
      c.setLineDash([]);
      c.globalAlpha = 1;
      if (dots && line.length < FEW) for (const point of line) if (Number.isFinite(point[1])) dot(point, 2.5);
    }
  };
  /** @param {number} at */
  const drawCursor = (at) => {
    c.strokeStyle = muted;
    c.lineWidth = 1;
    straight(x(at), PAD.top, x(at), bottom);
    for (const { points, colour } of series) {
      const point = pointBefore(points, at);
      if (!point || !Number.isFinite(point[1])) continue;
      c.fillStyle = themeColour(colour);
      dot(point, 4);
    }
  };

  drawAxes();
  c.save();
  c.beginPath();
  c.rect(PAD.left, 0, inner.width + 3, bottom + 1);
  c.clip();
  drawLines();
  if (brush) {
    c.fillStyle = themeColour("accent");
    c.globalAlpha = 0.16;
    c.fillRect(x(brush[0]), PAD.top, x(brush[1]) - x(brush[0]), inner.height);
  } else if (cursor !== null) drawCursor(cursor);
  c.restore();
}

/**
 * @param {string} title
 * @param {string} term the field's
 * @param {SharedView} view
 */
export function lineChart(title, term, view) {
  const canvas = h("canvas", { tabindex: 0, role: "img" });
  const reading = h("span", { class: "vs-reading" });
  const heading = h("figcaption", {}, h("strong", {}, glossed(title), h("small", {}, glossed(term))), reading);
  const node = h("figure", { class: "vs-chart" }, heading, canvas);
  /** @type {Series[]} */
  let series = [];
  /** @type {[number, number]} */
  let range = [0, 1];
  /** @type {[number, number] | null} */
  let brush = null;

  /** @param {CanvasRenderingContext2D} c @param {number} width @param {number} height */
  const paint = (c, width, height) => {
    range = view.zoom ?? [0, endOf(series) || 1];
    paintChart(c, { width, height, series, range, log: view.log, cursor: view.cursor, brush });
  };
  const describe = () => {
    const lines = series.map(({ label, points }) => {
      const end = points.at(-1);
      return end ? `${title}, ${label}: from ${number(points[0][1])} to ${number(end[1])}` : `${title}: nothing yet`;
    });
    const zoomed = view.zoom ? `, zoomed to epochs ${number(range[0])} to ${number(range[1])}` : "";
    const keys = "Arrow keys read values, plus and minus zoom, Escape shows all.";
    const says = lines.join("; ") || `${title}: nothing yet`;
    return `${says}, over ${number(endOf(series) || 1)} epochs${zoomed}. ${keys}`;
  };
  const drawReading = () => {
    const at = view.cursor ?? range[1];
    const entries = series.map(({ label, colour, thin, points }) => {
      const swatch = h("i", { class: `swatch ${thin ? "thin" : ""}`, style: `--swatch: var(--vs-${colour})` });
      return h("span", {}, swatch, `${label} `, h("b", {}, number(pointBefore(points, at)?.[1])));
    });
    reading.replaceChildren(...entries);
  };
  const draw = () => {
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const ratio = pixelRatio();
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const c = context2d(canvas);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    paint(c, width, height);
    drawReading();
    canvas.setAttribute("aria-label", describe());
  };

  /** @param {number} at */
  const bounded = (at) => clamp(at, range[0], range[1]);
  /** @param {PointerEvent} event */
  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
    return bounded(range[0] + share * (range[1] - range[0]));
  };
  /** @param {number | null} at */
  const move = (at) => {
    view.cursor = at === null ? null : bounded(at);
    view.moved();
  };
  /** @param {[number, number] | null} to */
  const zoom = (to) => {
    if (to && to[1] - to[0] < (range[1] - range[0]) * SMALLEST_ZOOM) return;
    view.zoom = to;
    view.zoomed();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const from = placeOf(event);
    canvas.setPointerCapture(event.pointerId);
    /** @param {PointerEvent} now */
    const drag = (now) => {
      if (!brush && Math.abs(now.clientX - event.clientX) <= DRAG) return;
      const to = placeOf(now);
      brush = [Math.min(from, to), Math.max(from, to)];
      draw();
    };
    /** @param {PointerEvent} now */
    const end = (now) => {
      canvas.removeEventListener("pointermove", drag);
      const found = now.type === "pointerup" ? brush : null;
      brush = null;
      if (found) zoom(found);
      else draw();
    };
    canvas.addEventListener("pointermove", drag);
    canvas.addEventListener("pointerup", end, { once: true });
    canvas.addEventListener("pointercancel", end, { once: true });
  });
  canvas.addEventListener("dblclick", () => zoom(null));
  canvas.addEventListener("pointermove", (event) => move(placeOf(event)));
  canvas.addEventListener("pointerleave", () => move(null));
  canvas.addEventListener("blur", () => move(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const closer = { "+": 0.5, "=": 0.5, "-": 2 }[event.key];
    const at = view.cursor ?? range[1];
    if (step) {
      move(at + (step * (range[1] - range[0])) / 40);
      announce(`Epoch ${number(view.cursor)}: ${reading.textContent}`);
    } else if (closer) zoom(zoomRange(range, at, closer, endOf(series)));
    else if (event.key === "Escape" && view.zoom) zoom(null);
    else return;
    event.preventDefault();
  });
  onResize(canvas, draw);

  return {
    node,
    title,
    draw,
    paint,
    /** @param {Series[]} all */
    set(all) {
      series = all;
      draw();
    },
    series: () => series,
  };
}
