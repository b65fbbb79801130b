// Bars on canvas, one for each latent dimension; hover or the arrow keys read them.

import { announce, context2d, h, onResize, pixelRatio, themeColour } from "./dom.js";
import { clamp } from "./geometry.js";
import { glossed } from "./term.js";

const BOTTOM = 12; // pixels, for the dots of the active ones
const TOP = 4;

/**
 * @template {{ value: number, active: boolean }} Bar
 * @param {object} chart
 * @param {string} chart.title
 * @param {string} chart.term the field's
 * @param {string} chart.label
 * @param {Bar[]} chart.bars the highest first
 * @param {string} chart.total a sentence about all of them
 * @param {(bar: Bar) => string} chart.describe
 */
export function barChart({ title, term, label, bars, total, describe }) {
  const canvas = h("canvas", { class: "vs-bars", tabindex: 0, role: "img", "aria-label": label });
  const reading = h("p", { class: "vs-caption vs-bar-says" }, total);
  const heading = h("figcaption", {}, h("strong", {}, title), h("small", {}, glossed(term)));
  const node = h("figure", { class: "vs-bar-figure" }, heading, canvas, reading);
  /** @type {number | null} */
  let at = null;

  const draw = () => {
    const ratio = pixelRatio();
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const c = context2d(canvas);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    c.scale(ratio, ratio);
    const step = width / bars.length;
    const wide = step - (step > 4 ? 1 : 0);
    const most = Math.max(...bars.map((bar) => bar.value), 1e-9);
    bars.forEach(({ value, active }, i) => {
      const tall = Math.max(1, ((height - BOTTOM - TOP) * value) / most);
      const x = i * step;
      c.fillStyle = themeColour(i === at ? "text" : active ? "accent" : "line-strong");
      c.fillRect(x, height - BOTTOM - tall, wide, tall);
      if (!active) return;
      c.beginPath();
      c.arc(x + wide / 2, height - BOTTOM / 2, Math.min(2.2, step / 2), 0, 7);
      c.fill();
    });
  };
  /** @param {number | null} i */
  const read = (i) => {
    at = i === null ? null : clamp(i, 0, bars.length - 1);
    reading.textContent = at === null ? total : describe(bars[at]);
    draw();
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    read(Math.floor(((event.clientX - box.left) / box.width) * bars.length));
  });
  canvas.addEventListener("pointerleave", () => read(null));
  canvas.addEventListener("blur", () => read(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    read(at === null ? 0 : at + step);
    announce(reading.textContent ?? "");
  });
  return { node, draw: onResize(canvas, draw) };
}
