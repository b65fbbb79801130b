// One model's samples. They come in one sprite; every cell is a button.

/** @import { SampleHalf, Sprite } from "./types" */
import { button, context2d, h, icon, onResize } from "./dom.js";
import { fileName, shortName } from "./format.js";
import { cellOf } from "./geometry.js";
import { squareGrid } from "./grid_layout.js";
import { isSmall } from "./pixel_scale.js";
import { post } from "./post.js";
import { runButton } from "./run_button.js";
import { saveCanvas } from "./save_file.js";

const MANY = 144; // samples, from which on the gaps between them are narrow
const FADE = 600; // ms
const STAGGER = 500; // ms, from the first cell to the last
const GREY = "#808080"; // the gaps in a downloaded grid

/**
 * @param {object} options
 * @param {(i: number) => void} options.picked is called when a cell is chosen
 */
export function sampleGrid({ picked }) {
  const title = h("h3");
  const says = h("p", { class: "vs-half-says" });
  let grid = h("div", { class: "vs-grid", role: "group" });
  const missing = h("p", { class: "vs-missing", hidden: true });
  const stage = h("div", { class: "vs-square" }, grid, missing);
  const save = button([icon("download"), "All as PNG"], () => saveAll(false), { disabled: true });
  const toPost = { disabled: true, "aria-label": "1080 px: All, to post, a square with a caption" };
  const savePost = button([icon("download"), "1080 px"], () => saveAll(true), toPost);
  const saves = h("div", { class: "vs-actions" }, save, savePost);
  const node = h("section", { class: "vs-half" }, h("div", { class: "vs-head" }, title, saves), stage, says);

  /** @type {HTMLImageElement | null} */
  let image = null;
  /** @type {SampleHalf | null} */
  let value = null;
  let seed = 0;
  /** @type {number | null} */
  let chosen = null;

  /** The images that are shown. */
  const shown = () => (value?.sprite && image ? { image, sprite: /** @type {Sprite} */ (value) } : null);
  const cells = () => /** @type {HTMLButtonElement[]} */ ([...grid.children]);

  const lay = onResize(stage, () => {
    const now = shown();
    if (!now) return;
    const { n, width, height, columns: inSprite } = now.sprite;
    const gap = n > MANY ? 2 : 4;
    const { scale, columns } = squareGrid(now.sprite, stage.clientWidth, gap);
    const wide = width * scale;
    const high = height * scale;
    const layout = [columns, wide, high, n].join();
    if (grid.dataset.layout && grid.dataset.layout !== layout) makeAnew();
    grid.dataset.layout = layout;
    stage.style.aspectRatio = "auto"; // the square was room kept for what comes
    grid.style.cssText = `grid-template-columns: repeat(${columns}, ${wide}px); gap: ${gap}px;
      --cell-w: ${wide}px; --cell-h: ${high}px`;
    grid.classList.toggle("crisp", isSmall(width));
    cells().forEach((cell, i) => {
      const [left, top] = cellOf(i, { columns: inSprite, width: wide, height: high });
      cell.style.backgroundSize = `${inSprite * wide}px auto`;
      cell.style.backgroundPosition = `${-left}px ${-top}px`;
    });
  });

  /** A grid of another shape is another element, so that none is seen to jump. */
  const makeAnew = () => {
    const old = grid;
    grid = h("div", { class: old.className, role: "group", "aria-label": old.getAttribute("aria-label") });
    old.replaceWith(grid);
    fill();
    mark();
  };
  const mark = () => {
    cells().forEach((cell, k) => {
      cell.setAttribute("aria-pressed", String(k === chosen));
    });
  };

  /** One sample as a PNG at its true size. @param {number} i */
  const cut = (i) => {
    const { image, sprite } = /** @type {NonNullable<ReturnType<typeof shown>>} */ (shown());
    const { width, height } = sprite;
    const canvas = h("canvas", { width, height });
    context2d(canvas).drawImage(image, ...cellOf(i, sprite), width, height, 0, 0, width, height);
    return canvas;
  };
  /** The cells' old images fade over the new ones of the same noise, one after another. @param {string[]} old */
  const morph = (old) => {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    cells().forEach((cell, i) => {
      const { backgroundSize, backgroundPosition } = cell.style;
      const before = h("span", { class: "vs-before", "aria-hidden": "true" });
      Object.assign(before.style, { backgroundImage: old[i], backgroundSize, backgroundPosition });
      cell.append(before);
      const timing = { duration: FADE, delay: (STAGGER * i) / old.length, fill: /** @type {const} */ ("backwards") };
      before.animate([{ opacity: 1 }, { opacity: 0 }], timing).onfinish = () => before.remove();
    });
  };
  /** What files of these samples are called. */
  const name = () => fileName(shortName(value?.model ?? "", 1), value?.prior ?? "", `seed ${seed}`);
  /** All samples as a PNG, with thin gaps that tell them apart: at their true size, or as a post.
   * @param {boolean} toPost */
  const saveAll = (toPost) => {
    const now = shown();
    if (!now || !value) return;
    const { n, width, height } = now.sprite;
    const columns = Math.ceil(Math.sqrt(n));
    const rows = Math.ceil(n / columns);
    const gap = 2;
    const size = { width: columns * (width + gap) - gap, height: rows * (height + gap) - gap };
    const canvas = h("canvas", size);
    const context = context2d(canvas);
    context.fillStyle = GREY;
    context.fillRect(0, 0, size.width, size.height);
    for (let i = 0; i < n; i++) {
      const [x, y] = cellOf(i, { columns, width: width + gap, height: height + gap });
      context.drawImage(now.image, ...cellOf(i, now.sprite), width, height, x, y, width, height);
    }
    const model = shortName(value.model, 1);
    const caption = `${model}, ${value.prior === "normal" ? "noise" : value.prior}, seed ${seed}`;
    if (toPost) saveCanvas(post(canvas, caption, isSmall(width)), `${fileName(name(), "1080")}.png`);
    else saveCanvas(canvas, `${name()}.png`);
  };

  stage.addEventListener("keydown", (event) => {
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const all = cells();
    const next = step && all[[...grid.children].indexOf(/** @type {Element} */ (document.activeElement)) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });

  /** Makes as many cells as there are samples, and names them. */
  const fill = () => {
    const now = shown();
    const n = now ? now.sprite.n : 0;
    while (grid.children.length > n) grid.lastChild?.remove();
    while (grid.children.length < n) {
      const i = grid.children.length;
      grid.append(h("button", { type: "button", class: "vs-cell", onclick: () => picked(i) }));
    }
    cells().forEach((cell, i) => {
      cell.style.backgroundImage = `url(${value?.sprite})`;
      cell.setAttribute("aria-label", `Sample ${i + 1} of ${n} of ${value?.model}, seed ${seed}`);
      cell.setAttribute("aria-pressed", "false");
    });
  };

  return {
    node,
    /** @param {number} i */
    cut: (i) => cut(i).toDataURL("image/png"),
    /** @param {number} i */
    save: (i) => saveCanvas(cut(i), `${fileName(name(), `sample ${i + 1}`)}.png`),
    value: () => value,
    seed: () => seed,
    chosen: () => chosen,

    /** Chooses a sample, or lets go of it if it is the chosen one already. @param {number | null} i */
    choose(i) {
      chosen = chosen === i ? null : i;
      mark();
    },

    /** @param {SampleHalf} news @param {number} newSeed @param {HTMLImageElement | null} loaded its sprite */
    show(news, newSeed, loaded) {
      node.classList.toggle("stale", Boolean(news.waiting)); // what is there is of another choice
      if (news.waiting) {
        lay(); // it may have another width now, beside another grid
        return;
      }
      if (news.sprite) {
        const same = news.sprite === value?.sprite && news.model === value.model && newSeed === seed;
        if (same) return;
        image = loaded;
      }
      const moved =
        value?.sprite && news.sprite && news.model === value.model && newSeed === seed && news.n === value.n;
      const old = moved ? cells().map((cell) => cell.style.backgroundImage) : null;
      value = news;
      seed = newSeed;
      chosen = null;
      title.replaceChildren(
        news.variational ? "Variational auto-encoder" : "Plain auto-encoder",
        h("small", {}, news.model),
      );
      says.textContent = (news.missing ? "It has no prior of this kind." : news.says) ?? "";
      missing.replaceChildren(news.missing ?? "", ...(news.run ? [runButton(news.run)] : []));
      missing.hidden = !news.missing;
      if (news.missing) stage.style.aspectRatio = "";
      grid.hidden = save.disabled = savePost.disabled = !news.sprite;
      grid.setAttribute("aria-label", `Samples of ${news.model}`);
      fill();
      lay();
      if (old) morph(old);
    },
  };
}
