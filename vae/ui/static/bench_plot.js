// Plots of a few named series on a canvas, on paper-like axes: lines over cycles, or a point for each model.

import { axisRange, shareOf, ticks } from "./chart_data.js";
import { context2d, fontFamily, h, isDark, onResize, onThemeChange, pixelRatio, themeColour, typeSize } from "./dom.js";
import { number } from "./format.js";

/** @typedef {[x: number, y: number]} Point */
/** @typedef {{ letter: string, label: string, points: Point[], dashed?: number }} Named */
/** @typedef {{ title: string, x: string, y: string, series: Named[], joined?: boolean }} Plot */

const PAD = { left: 52, right: 16, top: 10, bottom: 38 };
// Told apart by the colour-blind, too; a letter is written beside each.
const LIGHT = ["#C2410C", "#1F6FA8", "#6B4FA0", "#8A6A00", "#2E7D32", "#A3346B"];
const DARK = ["#FB923C", "#7CC4F4", "#C4A8F0", "#E3C04B", "#86D38A", "#F2A0CB"];
export const LETTERS = "ABCDEF";

/** The colour of the series with that letter. @param {string} letter */
export const colourOf = (letter) => (isDark() ? DARK : LIGHT)[Math.max(0, LETTERS.indexOf(letter))];

/**
 * Draws into a context, as if it were `width` by `height` CSS pixels.
 *
 * @param {CanvasRenderingContext2D} c
 * @param {number} width
 * @param {number} height
 * @param {Plot} plot
 */
export function paintPlot(c, width, height, { x: xTitle, y: yTitle, series, joined }) {
  const points = series.flatMap((each) => each.points).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  if (!points.length) return;
  const across = axisRange(
    points.map(([x]) => x),
    false,
  );
  const up = axisRange(
    points.map(([, y]) => y),
    false,
  );
  const bottom = height - PAD.bottom;
  /** @param {number} v */
  const x = (v) => PAD.left + shareOf(v, across) * (width - PAD.left - PAD.right);
  /** @param {number} v */
  const y = (v) => bottom - shareOf(v, up) * (bottom - PAD.top);
  c.font = `${typeSize(11)}px ${fontFamily()}`;
  c.lineWidth = 1;
  c.fillStyle = themeColour("muted");
  c.strokeStyle = themeColour("line");
  c.textAlign = "right";
  c.textBaseline = "middle";
  for (const v of ticks(up)) {
    c.beginPath();
    c.moveTo(PAD.left, Math.round(y(v)) + 0.5);
    c.lineTo(width - PAD.right, Math.round(y(v)) + 0.5);
    c.stroke();
    c.fillText(number(v), PAD.left - 6, y(v));
  }
  c.textAlign = "center";
  c.textBaseline = "top";
  for (const v of ticks(across)) c.fillText(number(v), x(v), bottom + 6);
  c.textAlign = "right";
  c.fillText(xTitle, width - PAD.right, bottom + 21);
  c.textAlign = "left";
  c.fillText(yTitle, 2, bottom + 21);
  /** @type {Point[]} where letters are */
  const letters = [];
  for (const { letter, points: own, dashed } of series) {
    c.strokeStyle = c.fillStyle = colourOf(letter);
    c.lineWidth = 1.8;
    c.setLineDash(dashed ? [dashed, 3] : []);
    if (joined) {
      c.beginPath();
      for (const [px, py] of own) if (Number.isFinite(py)) c.lineTo(x(px), y(py));
      c.stroke();
    }
    c.setLineDash([]);
    for (const [px, py] of own) {
      if (!Number.isFinite(py)) continue;
      c.beginPath();
      c.arc(x(px), y(py), joined ? 2.5 : 6, 0, 7);
      c.fill();
    }
    const end = own.filter(([, py]) => Number.isFinite(py)).at(-1);
    if (!end) continue;
    c.textAlign = "left";
    c.textBaseline = "bottom";
    c.font = `700 ${typeSize(12)}px ${fontFamily()}`;
    const at = Math.min(x(end[0]) + 6, width - 10);
    let level = y(end[1]) - 3;
    while (letters.some(([lx, ly]) => Math.abs(lx - at) < 10 && Math.abs(ly - level) < 12)) level -= 4;
    letters.push([at, level]);
    c.fillText(letter, at, Math.max(12, level));
  }
}

/**
 * A plot with its title; set() shows another one.
 *
 * @param {string} title
 */
export function plotFigure(title) {
  const canvas = h("canvas", { role: "img" });
  const node = h("figure", {}, h("figcaption", {}, title), canvas);
  /** @type {Plot | null} */
  let plot = null;
  const draw = () => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!plot || !width) return;
    const ratio = pixelRatio();
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const c = context2d(canvas);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    paintPlot(c, width, height, plot);
  };
  onResize(canvas, draw);
  onThemeChange(draw);
  return {
    node,
    plot: () => plot,
    /** @param {Plot} next */
    set(next) {
      plot = next;
      const says = next.series.map(({ letter, label, points }) => {
        const [first, last] = [points[0], points.at(-1)];
        if (!first || !last) return `${letter}, ${label}: nothing`;
        if (points.length === 1) return `${letter}, ${label}: ${number(first[1])} at ${number(first[0])}`;
        return `${letter}, ${label}: from ${number(first[1])} to ${number(last[1])}`;
      });
      canvas.setAttribute("aria-label", `${title}. ${says.join("; ")}.`);
      draw();
    },
  };
}
