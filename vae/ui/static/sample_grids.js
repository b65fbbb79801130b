// The samples of the chosen model, beside them those of its counterpart, and what can be done with one of them.

/** @import { Context, Samples } from "./types" */
import { announce, button, h, icon, loadImage } from "./dom.js";
import { duration, plural } from "./format.js";
import { sampleGrid } from "./sample_grid.js";
import { markStale } from "./stale_mark.js";
import { tell } from "./topics.js";

/** @param {Context<Samples | null, object, { halves: number, prior_names: Record<string, string> }>} context */
export default function mount({ root, props, trigger, watch, options }) {
  const caption = h("p", { class: "vs-caption" });
  let bar = h("div");
  const grids = [0, 1].map((k) => sampleGrid({ picked: (i) => pick(k, i) }));
  const row = h(
    "div",
    { class: "vs-halves" },
    grids.map((grid) => grid.node),
  );
  root.append(h("div", { class: "vs-head" }, caption), row, bar);
  /** @type {string | undefined} */
  let shownModel; // the chosen one, beside its counterpart
  let turn = 0; // what was asked to be shown last; images that load late are not shown over it

  const drawActions = () => {
    const grid = grids.find((each) => each.chosen() !== null);
    const i = grid?.chosen() ?? 0;
    const model = grid?.value()?.model;
    const of = row.classList.contains("pair") ? ` of ${model}` : "";
    /** @param {string} to */
    const send = (to) => () => trigger("send", { to, index: i, uri: grid?.cut(i), model });
    const save = () => grid?.save(i);
    const disabled = !grid;
    const old = bar; // another element, so that it is not seen to jump when the samples take more room
    bar = h(
      "div",
      { class: "vs-actions vs-picked", "aria-label": "What to do with the chosen sample", role: "group" },
      h("span", { class: "vs-picked-name" }, grid ? `Sample ${i + 1}${of}` : "Choose a sample to use it elsewhere"),
      button("Reconstruct", send("reconstruct"), { disabled }),
      button("Interpolate: A", send("a"), { disabled }),
      button("Interpolate: B", send("b"), { disabled }),
      button([icon("download"), "PNG"], save, { disabled }),
    );
    old.replaceWith(bar);
  };
  /** @param {number} chosenGrid @param {number} i */
  const pick = (chosenGrid, i) => {
    grids.forEach((grid, k) => {
      grid.choose(k === chosenGrid ? i : grid.chosen());
    });
    drawActions();
  };
  /** @param {number} count */
  const arrange = (count) => {
    const wasPair = row.classList.contains("pair");
    // Put in anew where they lie otherwise, so that they are not seen to jump.
    if (row.classList.toggle("pair", count > 1) !== wasPair) row.replaceChildren(...grids.map((grid) => grid.node));
    grids[1].node.hidden = count < 2;
    if (count < 2 && grids[1].chosen() !== null) grids[1].choose(null);
  };

  /** @param {Samples} value */
  const captionOf = ({ halves, seed, temperature, steps, label }) => {
    const drawn = halves.find((half) => half.sprite);
    if (!drawn?.n || !drawn.prior) return ["No samples"];
    const seconds = halves.reduce((sum, half) => sum + (half.seconds ?? 0), 0);
    const name = options.prior_names[drawn.prior] ?? drawn.prior;
    const prior = name[0].toLowerCase() + name.slice(1);
    const taken = steps ? `${plural(steps, "step")}, ` : "";
    const facts = `seed ${seed}, temperature ${temperature.toFixed(2)}, ${taken}${duration(seconds)}`;
    return [
      h("strong", {}, plural(drawn.n, "sample")),
      `${label === null ? "" : ` of ${label}`}, prior: ${prior}, ${facts}`,
    ];
  };

  const mark = markStale(root, () => ({
    model: shownModel,
    waiting: props.value?.waiting,
  }));
  const show = async () => {
    const value = props.value;
    const mine = ++turn;
    mark();
    if (value?.waiting) return;
    if (!value) {
      arrange(options.halves);
      drawActions();
      return;
    }
    const sprites = await Promise.all(value.halves.map(({ sprite }) => (sprite ? loadImage(sprite) : null)));
    if (mine !== turn) return;
    arrange(value.halves.length);
    value.halves.forEach((half, k) => {
      grids[k].show(half, value.seed, sprites[k]);
    });
    caption.replaceChildren(...captionOf(value));
    shownModel = value.model;
    mark();
    drawActions();
    if (value.halves.some((half) => half.waiting)) return;
    const { model, seed, temperature, steps, prior, label, halves } = value;
    const n = halves.find((half) => half.sprite)?.n ?? null;
    const usual = { n: 25, temperature: 1 };
    tell("shown", {
      tab: "sample",
      model,
      prior: label === null ? prior : null,
      label,
      seed,
      n: n === usual.n ? null : n,
      temperature: temperature === usual.temperature ? null : temperature,
      steps,
    });
    announce(n ? `${plural(n, "sample")} drawn with seed ${value.seed}.` : (value.halves[0].missing ?? "No samples."));
  };
  watch("value", show);
  show();
}
