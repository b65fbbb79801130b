// One pane of a comparison: a model's choice of encoder and decoder, what it makes of the picture, and the figures.

/** @import { Compared } from "./types" */
/** @import { View } from "./comparison_view.js" */
import { amplifiedDifference, pitchOf, seenPart } from "./comparison_view.js";
import { button, context2d, h, icon, pixelRatio, uniqueId } from "./dom.js";
import { figureRow, PSNR_MEANS, SSIM_MEANS } from "./figure_rows.js";
import { duration, number, shapeText } from "./format.js";
import { isSmall } from "./pixel_scale.js";

/** @typedef {"image" | "original" | "difference"} Layer which of a pane's images is shown */

/**
 * A result with its images, loaded.
 *
 * @typedef {Omit<Compared, "original" | "image"> & Loaded} Result
 *
 * @typedef {object} Loaded
 * @property {HTMLImageElement} original
 * @property {HTMLImageElement} image
 * @property {{ original: ImageData, image: ImageData }} [pixels] of both, once they were needed
 * @property {{ gain: number, canvas: HTMLCanvasElement }} [difference] the one that was shown last
 */

const CRISP = 3; // device pixels for one of the image's, from which on a photograph is shown pixel by pixel

/** @param {HTMLImageElement} image */
function pixelsOf(image) {
  const canvas = h("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** The amplified difference as an image, kept for the next time. @param {Result} result @param {number} gain */
function differenceOf(result, gain) {
  if (result.difference?.gain === gain) return result.difference.canvas;
  result.pixels ??= { original: pixelsOf(result.original), image: pixelsOf(result.image) };
  const { original, image } = result.pixels;
  const canvas = result.difference?.canvas ?? h("canvas", { width: result.width, height: result.height });
  const data = amplifiedDifference(original.data, image.data, gain);
  context2d(canvas).putImageData(new ImageData(data, result.width, result.height), 0, 0);
  result.difference = { gain, canvas };
  return canvas;
}

/** @param {Result} result @param {Layer} layer @param {number} gain */
export const layerOf = (result, layer, gain) => (layer === "difference" ? differenceOf(result, gain) : result[layer]);

/**
 * @param {string} model both its encoder and its decoder, at first
 * @param {object} page
 * @param {(name: string) => void} page.choose another model
 * @param {() => void} page.paired is called when another decoder was chosen
 * @param {() => void} page.remove
 * @param {() => void} page.save
 */
export function comparisonPane(model, page) {
  const id = `vs-pane-${uniqueId()}`;
  const select = h("select", { class: "vs-select", id, onchange: () => page.choose(select.value) });
  const letter = h("label", { class: "vs-letter", for: id });
  const choosePartner = () => {
    pane.decoder = second.value;
    page.paired();
  };
  const second = h("select", { class: "vs-select", "aria-label": "Decoded by", onchange: choosePartner });
  const pairing = h("div", { class: "vs-pairing" }, h("span", {}, "decoded by"), second);
  /** @param {string} name */
  const plain = (name) => ({ class: "vs-plain", title: name, "aria-label": name });
  const remove = button("×", page.remove, plain("Remove this model"));
  const save = button(icon("download"), page.save, plain("Download as PNG"));
  const canvas = h("canvas", { tabindex: 0, role: "img" });
  const says = h("span");
  const bar = h("progress", { class: "live", max: 1 });
  const act = button(null, () => pane.act());
  const cover = h("div", { class: "vs-cover", hidden: true }, says, bar, act);
  const figures = h("dl", { class: "vs-rows" });
  const head = h("div", { class: "vs-pane-head" }, letter, select, save, remove);
  const stage = h("div", { class: "vs-stage" }, canvas, cover);
  const cleaned = h("p", { class: "vs-caption", hidden: true });
  const node = h("section", { class: "vs-pane" }, head, pairing, stage, figures, cleaned);

  const pane = {
    node,
    canvas,
    letter,
    select,
    second,
    pairing,
    remove,
    save,
    cover,
    says,
    bar,
    actButton: act,
    /** What the button over the image does. */
    act: () => {},
    encoder: model,
    decoder: model,
    /** Whether the visitor has left the choice of the model to the page. */
    suggested: true,
    /** @type {Result | null} */
    result: null,
    /** The encoder and decoder that the result is of. */
    of: "",

    /**
     * @param {View} view
     * @param {Layer} layer
     * @param {number} gain of the difference
     * @param {{ x: number, y: number } | null} spot what the pointer is on in another pane, in the picture's pixels
     */
    paint(view, layer, gain, spot) {
      const { result } = pane;
      const dpr = pixelRatio();
      const side = Math.round(canvas.clientWidth * dpr);
      if (!side) return;
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const c = context2d(canvas);
      c.clearRect(0, 0, side, side);
      if (!result) return;
      const scale = view.zoom * dpr;
      /** @param {number} x @param {number} y in the picture's pixels */
      const toCanvas = (x, y) => [side / 2 + (x - view.x) * scale, side / 2 + (y - view.y) * scale];
      let step = scale * pitchOf(result);
      const crisp = isSmall(Math.max(result.width, result.height)) || (step >= CRISP && !view.fitted);
      if (crisp && step >= CRISP) step = Math.round(step);
      c.imageSmoothingEnabled = !crisp || step < 1;
      c.imageSmoothingQuality = "high";
      const [left, top] = toCanvas(result.box[0], result.box[1]).map(Math.round);
      const [x, wide] = seenPart(left, step, result.width, side);
      const [y, high] = seenPart(top, step, result.height, side);
      if (wide > 0 && high > 0) {
        const image = layerOf(result, layer, gain);
        c.drawImage(image, x, y, wide, high, left + x * step, top + y * step, wide * step, high * step);
      }
      if (!spot) return;
      const [spotX, spotY] = toCanvas(spot.x, spot.y);
      c.beginPath();
      c.arc(spotX, spotY, 7 * dpr, 0, 7);
      c.lineWidth = 4 * dpr;
      c.strokeStyle = "rgb(0 0 0 / .6)";
      c.stroke();
      c.lineWidth = 2 * dpr;
      c.strokeStyle = "#fff";
      c.stroke();
    },

    /** @param {{ psnr: number | null, ssim: number | null }} best of all panes */
    drawFigures(best) {
      const r = pane.result;
      const none = "–";
      const rows = [
        { word: "Pixel accuracy", term: "PSNR", value: number(r?.psnr), unit: r ? "dB" : "", title: PSNR_MEANS },
        { word: "Structural similarity", term: "SSIM", value: number(r?.ssim), title: SSIM_MEANS },
        {
          word: "Latent",
          value: r ? shapeText(r.latent_shape) : none,
          title: "Channels × height × width of what is stored",
        },
        {
          word: "Bits per pixel",
          value: r ? r.bits_per_pixel.toPrecision(3) : none,
          title: "Of the latent, with 16 bits for each of its numbers (float16)",
        },
        {
          word: "Compute time",
          value: duration(r?.seconds),
          unit: r?.tile ? `in tiles of ${r.tile}` : "",
          title: "Encoding and decoding, on the server, without opening the model",
        },
        {
          word: "Input size",
          value: r ? `${r.width} × ${r.height}` : none,
          unit: r ? (r.grey ? "grey" : "colour") : "",
          title: "The picture as this model gets it",
        },
      ];
      cleaned.hidden = !r?.cleaned;
      cleaned.textContent = r?.cleaned ?? "";
      const top = [r?.psnr === best.psnr, r?.ssim === best.ssim];
      figures.replaceChildren(...rows.map((row, i) => figureRow({ ...row, best: Boolean(r) && top[i] })));
    },
  };
  return pane;
}
/** @typedef {ReturnType<typeof comparisonPane>} Pane */
