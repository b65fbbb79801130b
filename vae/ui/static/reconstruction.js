// The reconstruction: original and reconstruction under one divider, the figures, and the latent's maps.

/** @import { Context, ModelNews, Reconstruction, SketchLook, Unusual } from "./types" */
import { gradient } from "./colour_scale.js";
import { sweep } from "./divider_sweep.js";
import { announce, button, h, icon, isDark, onResize, onThemeChange } from "./dom.js";
import { figureRow, PSNR_MEANS, SSIM_MEANS } from "./figure_rows.js";
import { duration, fileName, number, shapeText, shortName } from "./format.js";
import { heatmap } from "./heatmap.js";
import { enlargement, isSmall } from "./pixel_scale.js";
import { markStale } from "./stale_mark.js";
import { listen, tell } from "./topics.js";

const DIVIDER = "Divider: original to the left, reconstruction to the right";

/** The colours' meaning, beside a row of maps. @param {number} limit @param {boolean} diverging */
function legend(limit, diverging) {
  const bar = h("span", { class: "vs-ramp", "aria-hidden": "true" });
  const draw = () => {
    bar.style.background = gradient({ dark: isDark(), diverging });
  };
  draw();
  return { node: h("span", { class: "vs-legend" }, number(diverging ? -limit : 0), bar, number(limit)), draw };
}

const LEAST_SHARE = 0.001; // below it the model's test images are too few to tell
const UNUSUAL_MEANS =
  "Beside the images the model was tested on: how well they came back, and how far their latents were from the prior. ";

/** @param {Unusual} value */
function unusualRow({ word, share, psnr, usual_psnr, kl, usual_kl }) {
  const few = share < LEAST_SHARE ? "under 1 in 1000" : `1 in ${number(1 / share, 2)}`;
  const here = `PSNR ${number(psnr)} dB, their median is ${number(usual_psnr)} dB`;
  const divergence = usual_kl ? `; KL ${number(kl)} nats, their median is ${number(usual_kl)} nats` : "";
  return figureRow({
    word: "For this model",
    value: word,
    unit: word === "usual" ? "" : `${few} of its test images`,
    title: `${UNUSUAL_MEANS}${here}${divergence}.`,
  });
}

/** @param {Reconstruction} value */
function figures(value) {
  const { psnr, ssim, latent_shape, compression, seconds, tile, seed, unusual } = value;
  const numbers = latent_shape.reduce((a, b) => a * b);
  const [channels, height, width] = latent_shape;
  return [
    figureRow({ word: "Pixel accuracy", term: "PSNR", value: number(psnr), unit: "dB", title: PSNR_MEANS }),
    figureRow({ word: "Structural similarity", term: "SSIM", value: number(ssim), title: SSIM_MEANS }),
    ...(unusual ? [unusualRow(unusual)] : []),
    figureRow({
      word: "Stored as",
      term: "the latent",
      value: `${number(numbers)} numbers`,
      unit: `${number(channels)} ${channels === 1 ? "channel" : "channels"} of ${height} × ${width}`,
      title: `Channels × height × width of the latent: ${shapeText(latent_shape)}`,
    }),
    figureRow({
      word: "Compression",
      value: `${number(Math.max(compression, 1 / compression))}×`,
      unit: compression < 1 ? "more numbers" : "fewer numbers",
      title: "Numbers in the picture for each number in the latent",
    }),
    figureRow({
      word: "Compute time",
      value: duration(seconds),
      unit: tile ? `in tiles of ${tile} px` : "",
      title: "Encoding and decoding, on the server",
    }),
    ...(seed === null
      ? []
      : [
          figureRow({
            word: "Drawn with",
            term: "seed",
            value: String(seed),
            title: "The same seed gives the same picture again",
          }),
        ]),
  ];
}

/** @param {Context<Reconstruction | null>} context */
export default function mount({ root, props, trigger, watch }) {
  const before = h("img", { alt: "" });
  const after = h("img", { alt: "", class: "after" });
  const range = { type: "range", min: 0, max: 100, step: 0.5, value: 50, class: "vs-divide", "aria-label": DIVIDER };
  const divider = h("input", range);
  const handle = h("span", { class: "vs-handle", "aria-hidden": "true" });
  const frame = h("div", { class: "vs-frame" }, before, after, handle, divider);
  const stage = h("div", { class: "vs-stage" }, frame);
  const left = h("span", {}, "Original");
  const ends = h("div", { class: "vs-ends" }, left, h("span", {}, "Reconstruction"));
  const remarks = h("div", { class: "vs-remarks" });
  const stats = h("dl", { class: "vs-stats" });
  const saves = h("div", { class: "vs-actions" });
  const maps = h("div", { class: "vs-maps" });
  const side = h("div", { class: "vs-side" }, stats, saves);
  root.append(h("div", { class: "vs-compare" }, h("div", { class: "vs-left" }, stage, ends, remarks), side), maps);

  const divide = () => frame.style.setProperty("--at", `${divider.value}%`);
  divider.addEventListener("input", divide);
  divide();

  /** @type {ReturnType<typeof heatmap>[]} */
  let drawnMaps = [];
  /** @type {(() => void)[]} what is drawn in the theme's colours */
  let themed = [];

  const lay = onResize(root, () => {
    const value = props.value;
    if (!value) return;
    const room = stage.clientWidth;
    const scale = Math.min(enlargement(value.width, room), enlargement(value.height, room));
    frame.style.width = `${value.width * scale}px`;
    frame.style.height = `${value.height * scale}px`;
    frame.classList.toggle("crisp", isSmall(Math.max(value.width, value.height)));
    for (const { canvas, width, node } of drawnMaps)
      canvas.style.width = `${width * enlargement(width, node.clientWidth)}px`;
  });

  /**
   * @param {string} title
   * @param {string} term
   * @param {string} sentence
   * @param {number[][][] | null} channels
   * @param {number} limit
   * @param {boolean} diverging
   * @param {boolean} [large] of one map, which says what it shows
   */
  const section = (title, term, sentence, channels, limit, diverging, large = false) => {
    const heading = h("h3", {}, title, h("small", {}, term));
    const node = h("section", {}, heading, h("p", {}, sentence));
    if (!channels) return node;
    const colours = legend(limit, diverging);
    const cells = channels.map((rows, i) => {
      const caption = large ? "Hover, or use the arrow keys, to read it" : `channel ${i + 1}`;
      return heatmap({ rows, limit, diverging, label: `${term}, ${caption}`, caption });
    });
    drawnMaps.push(...cells);
    themed.push(colours.draw, ...cells.map((cell) => cell.draw));
    heading.append(colours.node);
    node.append(
      h(
        "div",
        { class: large ? "vs-map-row large" : "vs-map-row" },
        cells.map((cell) => cell.node),
      ),
    );
    return node;
  };

  /** @type {ModelNews["choose"]} */
  let choose = () => {};
  listen("models", (/** @type {ModelNews} */ news) => {
    choose = news.choose;
  });

  /** What was done to the image before the model saw it, and which model would suit it better. */
  const remark = () => {
    const { cleaned, undone, advice } = /** @type {Reconstruction} */ (props.value);
    const key = JSON.stringify([cleaned, undone, advice]);
    if (remarks.dataset.of === key) return; // a button may be pressed just now
    remarks.dataset.of = key;
    left.textContent = cleaned ? "As the model sees it" : "Original";
    const undo = button(cleaned ? "Undo" : "Clean it up", () => trigger("undo"));
    const wanted = advice?.model;
    remarks.replaceChildren(
      ...(cleaned || undone ? [h("p", {}, cleaned ?? "Shown to the model as you gave it."), undo] : []),
      ...(advice ? [h("p", { class: "vs-advice" }, advice.says)] : []),
      ...(wanted ? [button(`Try it with ${wanted}`, () => choose(wanted))] : []),
    );
  };

  /** @param {string} label @param {string} href @param {string} name */
  const save = (label, href, name) => h("a", { class: "vs-button", href, download: name }, icon("download"), label);

  const mark = markStale(root, () => props.value);
  const show = () => {
    const value = props.value;
    if (!value) return;
    mark();
    maps.classList.remove("old");
    const drawn = value.seed !== null;
    if (!after.src) sweep(divider, divide);
    tell("shown", { tab: "reconstruct", model: value.model, image: value.example, seed: value.seed });
    before.src = value.original;
    after.src = value.image;
    before.alt = "The original, as the model saw it";
    after.alt = `The reconstruction${drawn ? `, from posterior sample ${value.seed}` : ""}`;
    const name = fileName(shortName(value.model ?? "", 1), value.picture.replace(/\.\w+$/, ""));
    stats.replaceChildren(...figures(value));
    saves.replaceChildren(
      save("Reconstruction", value.image, `${fileName(name, drawn ? `seed ${value.seed}` : "reconstruction")}.png`),
      save("Original", value.original, `${fileName(name, "original")}.png`),
    );
    remark();
    drawnMaps = [];
    themed = [];
    maps.replaceChildren(
      section(
        "What the model remembers of the picture",
        "latent mean µ",
        value.mean_says,
        value.mean,
        value.mean_limit,
        true,
      ),
      section(
        "Uncertainty of each number",
        "standard deviation σ",
        value.sigma_says,
        value.sigma,
        value.sigma_limit ?? 1,
        false,
      ),
      section(
        "Where the error lies",
        "absolute difference",
        "How far each pixel is from what the model saw: 0 is the same, 1 is white for black.",
        value.error,
        value.error_limit,
        false,
        true,
      ),
    );
    lay();
    const { cleaned, unusual, advice } = value;
    const more = [cleaned, unusual && `For this model ${unusual.word}.`, advice?.says].filter(Boolean).join(" ");
    announce(`Reconstructed: PSNR ${number(value.psnr)} decibels, SSIM ${number(value.ssim)}. ${more}`);
  };
  onThemeChange(() => {
    for (const draw of themed) draw();
  });
  // What the model makes of a drawing under way; the rest comes when a stroke is done.
  listen("sketch", (/** @type {SketchLook & { model: string }} */ look) => {
    const value = props.value;
    if (value?.model !== look.model || value.width !== look.width || value.height !== look.height) return;
    before.src = look.original;
    after.src = look.image;
    stats.replaceChildren(...figures({ ...value, psnr: look.psnr, ssim: look.ssim, seconds: look.seconds }));
    maps.classList.add("old");
  });
  watch("value", show);
  show();
}
