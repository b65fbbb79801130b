// What lies between latents: the frames of a path or of a loop, or a grid as one sheet. All come in one sprite and are
// shown from it, so that scrubbing asks the server for nothing.

/** @import { Context, Interpolation } from "./types" */
import { announce, button, context2d, h, icon, loadImage, onResize, showPlaying } from "./dom.js";
import { duration, fileName, shortName } from "./format.js";
import { cellOf, clamp } from "./geometry.js";
import { describe, endFrames, filmstrip, frameAt, placeOf, SIDES, timeOf } from "./interpolation_frames.js";
import { enlargement, isSmall } from "./pixel_scale.js";
import { POST, post } from "./post.js";
import { saveCanvas } from "./save_file.js";
import { markStale } from "./stale_mark.js";
import { tell } from "./topics.js";

const STRIP_GAP = 4; // CSS pixels

/** @param {Context<Interpolation | null, object, { sizes: number[] }>} context */
export default function mount({ root, props, trigger, watch, options }) {
  const canvas = h("canvas", { role: "img" });
  const corners = ["A", "B", "C", "D"].map((side) =>
    h("span", { class: "vs-corner", "aria-hidden": "true", hidden: true }, side),
  );
  const stage = h("div", { class: "vs-stage vs-morph" }, h("div", { class: "vs-sheet" }, canvas, ...corners));
  const range = h("input", { type: "range", max: 1, value: 0, class: "vs-scrub", "aria-label": "Position" });
  const play = button(null, () => (playing ? stop() : start()), { class: "vs-button vs-play-path" });
  const where = h("output", { class: "vs-where" });
  const last = h("span", { "aria-hidden": "true" }, "B");
  const first = h("span", { "aria-hidden": "true" }, "A");
  const scrub = h("div", { class: "vs-scrub-row" }, play, first, range, last, where);
  const strip = h("div", { class: "vs-strip", role: "group", "aria-label": "Filmstrip" });
  const sizes = options.sizes.map((pixels) =>
    h("option", { value: pixels }, pixels === POST ? `${pixels} px, to post` : `${pixels} px`),
  );
  const size = h("select", { id: "vs-keep-size", class: "vs-select" }, sizes);
  const saves = h("div", { class: "vs-actions vs-saves" });
  const caption = h("p", { class: "vs-caption" });
  const remarks = h("div", { class: "vs-remarks" });
  root.append(stage, scrub, strip, saves, caption, remarks);

  /** @type {{ value: Interpolation, image: HTMLImageElement } | null} */
  let shown = null;
  let at = 0;
  let playing = 0; // the animation frame that is asked for
  let turn = 0;

  /** @param {CanvasRenderingContext2D} context @param {number} i @param {[number, number]} [at] in cells */
  const paint = (context, i, [column, row] = [0, 0], scale = 1) => {
    if (!shown) return;
    const { value, image } = shown;
    const { width, height } = value;
    const size = /** @type {const} */ ([width * scale, height * scale]);
    context.imageSmoothingEnabled = !isSmall(width);
    context.drawImage(image, ...cellOf(i, value), width, height, column * size[0], row * size[1], ...size);
  };
  /** A frame by itself. @param {number} i @param {number | null} side in CSS pixels @param {number} [most] its longer
   * side in pixels; a small one is enlarged by a whole factor to at most that */
  const frame = (i, side, most) => {
    const { width, height } = shown?.value ?? { width: 1, height: 1 };
    const longer = Math.max(width, height);
    const scale = most ? (isSmall(longer) ? Math.max(1, Math.floor(most / longer)) : most / longer) : 1;
    const canvas = h("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
    paint(context2d(canvas), i, [0, 0], scale);
    if (side) canvas.style.width = `${side}px`;
    return canvas;
  };

  /** @param {number} i */
  const go = (i) => {
    if (!shown || shown.value.kind === "grid") return;
    const { n, kind } = shown.value;
    at = clamp(i, 0, n - 1);
    range.value = String(at);
    const { from, to, share } = placeOf(at, shown.value);
    const text = share.toFixed(2);
    const position = `${text} of the way from ${from} to ${to}`;
    range.setAttribute("aria-valuetext", position);
    where.textContent = kind === "loop" ? `${from}–${to} ${text}` : text;
    paint(context2d(canvas), at);
    canvas.setAttribute("aria-label", `Frame ${at + 1} of ${n}, ${position}`);
    for (const cell of strip.querySelectorAll("button"))
      cell.toggleAttribute("aria-current", Number(cell.dataset.i) === at);
  };
  const stop = () => {
    cancelAnimationFrame(playing);
    playing = 0;
    showPlaying(play, false, "Play");
  };
  const start = () => {
    if (!shown) return;
    const begun = performance.now() - timeOf(at);
    /** @param {number} now */
    const next = (now) => {
      if (!root.offsetParent) {
        stop(); // another tab is open
        return;
      }
      if (shown) go(frameAt(now - begun, shown.value.n, shown.value.kind));
      playing = requestAnimationFrame(next);
    };
    playing = requestAnimationFrame(next);
    showPlaying(play, true, "Play");
  };
  range.addEventListener("input", () => {
    stop();
    go(Number(range.value));
  });
  stop();

  const lay = onResize(root, () => {
    if (!shown) return;
    const { n, kind, steps, width, height } = shown.value;
    const grid = kind === "grid";
    const rows = grid ? steps : 1;
    const room = stage.clientWidth - (grid ? 2 * corners[0].offsetWidth : 0);
    const scale = Math.min(enlargement(width, room / rows), enlargement(height, stage.clientHeight / rows));
    canvas.style.width = `${rows * width * scale}px`;
    if (grid) return;
    const side = width * enlargement(width, strip.clientWidth < 500 ? 44 : 72);
    const most = Math.floor((strip.clientWidth + STRIP_GAP) / (side + STRIP_GAP));
    const count = clamp(most, 2, Math.max(2, n));
    strip.style.gridTemplateColumns = `repeat(${count}, ${side}px)`;
    const cells = filmstrip(n, count).map((i) => {
      const onclick = () => {
        stop();
        go(i);
      };
      const label = `Frame ${i + 1} of ${n}`;
      const attributes = { type: "button", class: "vs-cell", "data-i": i, "aria-label": label, onclick };
      return h("button", attributes, frame(i, side));
    });
    strip.replaceChildren(...cells);
    go(at);
  });

  /** @param {Interpolation} value */
  const drawSheet = (value) => {
    const { n, steps, labels } = value;
    const context = context2d(canvas);
    for (let i = 0; i < n; i++) paint(context, i, [i % steps, Math.floor(i / steps)]);
    const label = `${steps} rows of ${steps} pictures; in the corners ${labels.join(", ")}`;
    canvas.setAttribute("aria-label", label);
  };
  /** @param {Interpolation} value @param {number} share of the whole, where to stand at first */
  const prepareScrub = ({ n, kind }, share) => {
    range.max = String(n - 1);
    range.setAttribute("aria-label", kind === "loop" ? "Position on the loop" : "Position between A and B");
    last.textContent = kind === "loop" ? "A" : "B";
    at = Math.round(share * (n - 1));
  };
  /** @param {Interpolation} value */
  const drawSaves = ({ kind, labels, model, width }) => {
    /** @param {string} label @param {string} format */
    const keep = (label, format) =>
      button([icon("download"), label], () => trigger("keep", { format, size: Number(size.value), name, caption }));
    const title = shortName(model ?? "", 1);
    const name = fileName(title, labels.join(" to "));
    const caption = `${title}, ${labels.join(" to ")}`;
    const saveFrame = () => {
      const side = Number(size.value);
      const saved = side === POST ? post(frame(at, null), caption, isSmall(width)) : frame(at, null, side);
      saveCanvas(saved, `${fileName(name, `frame ${at + 1}`)}.png`);
    };
    const buttons =
      kind === "grid"
        ? [keep("Sheet (PNG)", "png")]
        : [
            keep("Animation (GIF)", "gif"),
            keep("Video (MP4)", "mp4"),
            keep("Strip (PNG)", "png"),
            button([icon("download"), "This frame (PNG)"], saveFrame),
          ];
    saves.replaceChildren(h("label", { for: size.id }, "Up to"), size, ...buttons);
  };

  /** What was done to photographed digits at the ends. @param {Interpolation} value */
  const remark = ({ cleaned, undone }) => {
    const says = undone ? "Shown to the model as you gave it." : cleaned;
    const undo = button(undone ? "Clean it up" : "Undo", () => trigger("undo"));
    remarks.replaceChildren(...(says ? [h("p", {}, says), undo] : []));
  };

  const mark = markStale(root, () => shown?.value);
  const show = async () => {
    const value = props.value;
    const mine = ++turn;
    if (!value) return;
    const image = await loadImage(value.sprite);
    if (mine !== turn) return; // it loaded late
    const share = shown && Number(range.max) > 1 ? at / Number(range.max) : 0.5;
    shown = { value, image };
    mark();
    const grid = value.kind === "grid";
    if (grid) stop();
    canvas.width = (grid ? value.steps : 1) * value.width;
    canvas.height = (grid ? value.steps : 1) * value.height;
    for (const node of [stage, strip]) node.classList.toggle("crisp", isSmall(value.width));
    for (const node of [scrub, strip]) node.hidden = grid;
    for (const node of corners) node.hidden = !grid;
    if (grid) drawSheet(value);
    else prepareScrub(value, share);
    drawSaves(value);
    remark(value);
    caption.textContent = `${describe(value)}, ${value.way}, made in ${duration(value.seconds)}`;
    const ends = endFrames(value).map((i, k) => [SIDES[k], frame(i, null).toDataURL()]);
    tell("ends", Object.fromEntries(ends));
    tell("shown", { tab: "interpolate", model: value.model, a: value.links[0], b: value.links[1] });
    lay();
    announce(`${describe(value)} are ready. ${value.cleaned ?? ""}`);
  };
  watch("value", show);
  show();
}
