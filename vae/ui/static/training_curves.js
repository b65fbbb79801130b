// The three curves of one or several runs, and what can be done with them: scale, smoothing, zoom, download.

/** @import { RunCurve } from "./curve_series.js" */
/** @import { SharedView } from "./line_chart.js" */
import { moreTerms, seriesOf } from "./curve_series.js";
import { button, context2d, fontFamily, h, onThemeChange, themeColour } from "./dom.js";
import { number } from "./format.js";
import { lineChart } from "./line_chart.js";
import { saveCanvas, saveFile } from "./save_file.js";

const CHARTS = [
  ["loss", "Total loss", "reconstruction + β · KL"],
  ["reconstruction", "Reconstruction", "how far from the original"],
  ["kl", "KL divergence", "how far from N(0, I), in nats"],
];
const PICTURE = { width: 960, ratio: 2, first: 300, others: 220, head: 34, margin: 16 }; // of the downloaded charts

/**
 * Buttons of which each is on or off.
 *
 * @param {string} label
 * @param {{ text: string, on: boolean, click: (button: HTMLButtonElement) => void }[]} members
 */
function segment(label, members) {
  const buttons = members.map(({ text, on, click }) => {
    const node = h("button", { type: "button", "aria-pressed": String(on), onclick: () => click(node) }, text);
    return node;
  });
  return { node: h("div", { class: "vs-segment", role: "group", "aria-label": label }, buttons), buttons };
}

/** @param {{ csv: (names: string[]) => Promise<string> }} options csv: the metrics of the runs named */
export function trainingCurves({ csv }) {
  /** @type {RunCurve[]} */
  let runs = [];
  const shown = { train: true, validation: true, smoothing: 0 };
  /** @type {SharedView} */
  const view = {
    log: true,
    zoom: null,
    cursor: null,
    moved: () => draw(),
    zoomed: () => {
      reset.hidden = !view.zoom;
      draw();
    },
  };
  /** @typedef {ReturnType<typeof lineChart>} Chart */
  /** @type {Map<string, Chart>} all there have been, by their terms */
  const made = new Map(CHARTS.map(([term, title, note]) => [term, lineChart(title, note, view)]));
  /** @type {[string, Chart][]} those that are shown */
  let charts = [...made];

  const all = h(
    "div",
    { class: "vs-charts" },
    charts.map(([, chart]) => chart.node),
  );

  const draw = () => {
    for (const [, chart] of charts) chart.draw();
    if (view.cursor !== null) where.textContent = `at epoch ${number(view.cursor)}`;
    else where.textContent = view.zoom ? `epochs ${number(view.zoom[0])} to ${number(view.zoom[1])}` : "";
  };
  const update = () => {
    const more = moreTerms(runs);
    const terms = [...CHARTS.map(([term]) => term), ...more];
    if (terms.join() !== charts.map(([term]) => term).join()) {
      charts = terms.map((term) => [term, made.get(term) ?? lineChart(term, "a term of the loss", view)]);
      for (const [term, chart] of charts) made.set(term, chart);
      all.replaceChildren(...charts.map(([, chart]) => chart.node));
    }
    for (const [term, chart] of charts) {
      const lines = seriesOf(runs, term, shown);
      // Not every run has it, and not every term is measured in validation.
      chart.set(more.includes(term) ? lines.filter(({ points }) => points.length) : lines);
    }
    node.classList.toggle("several", runs.length > 1);
  };
  const showAll = () => {
    view.zoom = null;
    view.zoomed();
  };

  // ---- the tools above the charts
  /** @param {boolean} log */
  const setScale = (log) => (/** @type {HTMLButtonElement} */ pressed) => {
    view.log = log;
    for (const each of scale.buttons) each.setAttribute("aria-pressed", String(each === pressed));
    draw();
  };
  const scale = segment("Scale", [
    { text: "Log", on: true, click: setScale(true) },
    { text: "Linear", on: false, click: setScale(false) },
  ]);
  /** @param {"train" | "validation"} part */
  const toggle = (part) => (/** @type {HTMLButtonElement} */ pressed) => {
    shown[part] = !shown[part];
    pressed.setAttribute("aria-pressed", String(shown[part]));
    update();
  };
  const parts = segment("Curves", [
    { text: "Train", on: true, click: toggle("train") },
    { text: "Validation", on: true, click: toggle("validation") },
  ]);
  const smoothingRange = { type: "range", class: "vs-scrub", min: 0, max: 0.98, step: 0.02, value: 0 };
  const smoothing = h("input", { ...smoothingRange, id: "vs-smoothing" });
  smoothing.addEventListener("input", () => {
    shown.smoothing = Number(smoothing.value);
    update();
  });
  const small = { class: "vs-button small" };
  const reset = button("Whole run", showAll, { ...small, hidden: true });
  const where = h("span", { class: "vs-caption vs-at" });

  // ---- files
  const fileName = () => runs.map((run) => run.name).join("-and-");
  const saveCsv = async () => {
    const text = await csv(runs.map((run) => run.name));
    saveFile(new Blob([text], { type: "text/csv" }), `${fileName()}-curves.csv`);
  };
  /** The charts below each other, each under its title and what its lines are. */
  const savePicture = () => {
    const { width, ratio, first, others, head, margin } = PICTURE;
    const height = margin + first + others * (charts.length - 1) + head * charts.length;
    const canvas = h("canvas", { width: width * ratio, height: height * ratio });
    const c = context2d(canvas);
    c.scale(ratio, ratio);
    c.fillStyle = themeColour("card");
    c.fillRect(0, 0, width, height);
    let top = margin / 2;
    charts.forEach(([, chart], i) => {
      const tall = i === 0 ? first : others;
      drawHeading(c, chart.title, top, chart.series(), i === 0 && runs.length === 1 ? `${runs[0].name} ` : "");
      c.save();
      c.translate(0, top + head);
      chart.paint(c, width, tall);
      c.restore();
      top += tall + head;
    });
    saveCanvas(canvas, `${fileName()}-curves.png`);
  };
  const saveAsCsv = button("CSV", saveCsv, small);
  const saveAsPng = button("PNG", savePicture, small);

  const smoothingPart = h("div", { class: "vs-smoothing" }, h("label", { for: smoothing.id }, "Smoothing"), smoothing);
  const downloads = [h("span", { class: "vs-caption" }, "Download curves"), saveAsCsv, saveAsPng];
  const actions = h("div", { class: "vs-actions" }, reset, ...downloads);
  const toolbar = h("div", { class: "vs-toolbar" }, scale.node, parts.node, smoothingPart, actions);
  const says = h("span", {}, "Drag across a curve to zoom in; double-click to see all of it.");
  const hint = h("p", { class: "vs-caption vs-hint" }, says, where);
  const node = h("div", {}, toolbar, all, hint);
  onThemeChange(draw);

  return {
    node,
    showAll,
    /** @param {RunCurve[]} drawn in that order */
    set(drawn) {
      runs = drawn;
      saveAsCsv.disabled = saveAsPng.disabled = !drawn.length;
      update();
    },
  };
}

/**
 * A chart's title in a downloaded picture, and what its lines are.
 *
 * @param {CanvasRenderingContext2D} c
 * @param {string} title
 * @param {number} top
 * @param {import("./chart_data.js").Series[]} series
 * @param {string} prefix before the lines' names
 */
function drawHeading(c, title, top, series, prefix) {
  c.textAlign = "left";
  c.textBaseline = "alphabetic";
  c.font = `600 14px ${fontFamily()}`;
  c.fillStyle = themeColour("text");
  c.fillText(title, 16, top + 20);
  let left = 28 + c.measureText(title).width;
  c.font = `12px ${fontFamily()}`;
  for (const { colour, thin, label } of series) {
    c.fillStyle = themeColour(colour);
    c.fillRect(left, top + 14, 14, thin ? 1.5 : 3);
    c.fillStyle = themeColour("muted");
    c.fillText(prefix + label, left + 19, top + 20);
    left += 35 + c.measureText(prefix + label).width;
  }
}
