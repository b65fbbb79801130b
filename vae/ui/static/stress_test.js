// What the models of the panes bear, of the picture above: a strip of images a model, and plots of what is lost.

/** @import { BenchNews, Stage } from "./types" */
/** @import { Bench } from "./bench.js" */
import { colourOf, LETTERS, plotFigure } from "./bench_plot.js";
import { announce, button, errorLine, h } from "./dom.js";
import { number } from "./format.js";
import { isSmall } from "./pixel_scale.js";
import { showShare } from "./progress.js";

/** @type {Record<string, { name: string, x: string, drift: boolean, says: string }>} */
const TESTS = {
  cycles: {
    name: "Round trips",
    x: "round trips",
    drift: true,
    says: "Encoded and decoded again and again; the first round trip is what Reconstruct shows.",
  },
  precision: {
    name: "Number formats",
    x: "",
    drift: false,
    says: "At up to 256 pixels. Numbers too large for a format become none at all (NaN).",
  },
  equivariance: {
    name: "Turned and smaller",
    x: "",
    drift: false,
    says: "The latent turned and made smaller, decoded, and compared with the picture treated alike (equivariance).",
  },
  noise: {
    name: "Noise",
    x: "noise, in the latent's own σ",
    drift: false,
    says: "Gaussian noise added to the latent: a smooth decoder loses little by little.",
  },
};
const CHANNELS = ["red", "green", "blue"];
const DASHES = [0, 6, 2];

/** @param {HTMLElement} root @param {Bench} bench */
export default function mount(root, bench) {
  /** @type {Map<string, { letter: string, title: string, stages: Stage[] | null, error: string | null }>} */
  let found = new Map();
  let test = "cycles"; // that was asked for last
  let mine = false;
  const choice = h("select", { class: "vs-select", "aria-label": "Test", onchange: () => explain() });
  for (const [value, { name }] of Object.entries(TESTS)) choice.append(h("option", { value }, name));
  const cycles = h("input", { type: "number", min: 1, max: 50, step: 1, value: 10 });
  const seed = h("input", { type: "number", min: 0, step: 1, value: 0 });
  const cyclesField = h("label", {}, "Round trips", cycles);
  const seedField = h("label", {}, "Seed", seed);
  const go = button("Test", () => (mine && bench.run ? bench.stop() : start()), { class: "vs-button primary" });
  const says = h("p", { class: "vs-caption" });
  const error = errorLine();
  const bar = h("progress", { class: "live", max: 1, "aria-label": "Progress" });
  const doing = h("span");
  const now = h("div", { class: "vs-bench-now", hidden: true }, bar, doing);
  const accuracy = plotFigure("Accuracy (PSNR)");
  const drift = plotFigure("How the colours drift");
  const plots = h("div", { class: "vs-bench-plots", hidden: true }, accuracy.node, drift.node);
  const strips = h("div", { class: "vs-bench-part", style: "padding: 0" });
  const test_ = h("label", {}, "Test", choice);
  root.append(
    h("div", { class: "vs-bench-form" }, test_, cyclesField, seedField, go),
    says,
    error.node,
    now,
    plots,
    strips,
  );

  const explain = () => {
    says.textContent = TESTS[choice.value].says;
    cyclesField.hidden = choice.value !== "cycles";
    seedField.hidden = choice.value !== "noise";
  };
  /** @param {Stage} stage */
  const shown = (stage) => {
    const image = h("img", { src: stage.image, alt: `${stage.label}: ${number(stage.psnr)} decibels` });
    image.classList.toggle("crisp", isSmall(stage.width));
    const psnr = stage.psnr === null ? "as it was" : `${number(stage.psnr)} dB`;
    return h("figure", {}, image, h("span", {}, stage.label), h("b", {}, psnr));
  };
  const draw = () => {
    const { x, drift: drifts } = TESTS[test];
    const known = [...found.values()];
    const drawn = known.flatMap(({ letter, title, stages }) => (stages ? [{ letter, label: title, stages }] : []));
    plots.hidden = !drawn.length || test === "precision";
    drift.node.hidden = !drifts;
    accuracy.set({
      title: "PSNR",
      x,
      y: "PSNR, dB",
      joined: true,
      series: drawn.map(({ letter, label, stages }) => ({
        letter,
        label,
        points: stages.map(({ at, psnr }, i) => [x ? at : i, psnr ?? Number.NaN]),
      })),
    });
    if (drifts)
      drift.set({
        title: "Drift",
        x,
        y: "brighter or darker, of 255",
        joined: true,
        series: drawn.flatMap(({ letter, label, stages }) =>
          stages[0].drift.map((_, channel) => ({
            letter,
            label: stages[0].drift.length > 1 ? `${label}, ${CHANNELS[channel] ?? "opacity"}` : label,
            dashed: DASHES[channel] ?? 1,
            points: [[0, 0], ...stages.map(({ at, drift }) => /** @type {[number, number]} */ ([at, drift[channel]]))],
          })),
        ),
      });
    strips.replaceChildren(
      ...known.map(({ letter, title, stages, error: refused }) => {
        const key = h("span", { class: "vs-bench-key", style: `background: ${colourOf(letter)}` }, letter);
        const head = h("div", { class: "vs-bench-head" }, key, title);
        if (!stages) return h("section", { class: "vs-strip" }, head, h("p", { class: "vs-error" }, refused ?? ""));
        const remarks = stages.flatMap(({ label, remark }) =>
          remark ? [h("li", { class: remark.includes("NaN") ? "failed" : null }, `${label}: ${remark}`)] : [],
        );
        const images = h("div", { class: "vs-bench-images" }, stages.map(shown));
        return h("section", { class: "vs-strip" }, head, images, remarks.length ? h("ul", {}, remarks) : null);
      }),
    );
  };
  /** @param {BenchNews} news */
  const receive = ({ model, stages, error: refused, what, share, done }) => {
    if (what) doing.textContent = what;
    showShare(bar, share);
    if (model && (stages || refused)) {
      const letter = LETTERS[bench.models.indexOf(model)] ?? LETTERS[found.size];
      found.set(model, { letter, title: bench.title(model), stages: stages ?? null, error: refused ?? null });
      draw();
    } else if (refused) error.say(refused);
    if (!done) return;
    mine = false;
    const lines = [...found.values()].map(({ letter, title, stages: all }) => {
      const last = all?.at(-1);
      return last ? `${letter}, ${title}: ${last.label}, ${number(last.psnr)} decibels` : `${letter}: no result`;
    });
    if (lines.length) announce(lines.join("; "));
  };
  const start = () => {
    const models = [...new Set(bench.models)];
    if (bench.run || !models.length) return;
    error.say(null);
    found = new Map();
    test = choice.value;
    mine = true;
    doing.textContent = "Starting";
    const numbers = { cycles: Number(cycles.value) || 0, seed: Number(seed.value) || 0 };
    bench.start({ kind: "stress", models, test, picture: bench.picture, ...numbers }, receive);
  };
  const show = () => {
    const busy = Boolean(bench.run);
    go.textContent = busy && mine ? "Stop" : "Test";
    go.disabled = (busy && !mine) || !bench.models.length || !bench.picture;
    now.hidden = !(busy && mine);
  };
  bench.listeners.push(show);
  explain();
  show();
}
