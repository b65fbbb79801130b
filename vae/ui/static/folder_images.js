// The images of a measured folder, the worst first; one that is chosen is shown in the panes above.

/** @import { Bench } from "./bench.js" */
/** @import { Row } from "./folder_table.js" */
import { button, context2d, errorLine, h, loadImage, NO_ANSWER } from "./dom.js";
import { figure, imageColumns, worstFirst } from "./folder_table.js";
import { number } from "./format.js";
import { cellOf } from "./geometry.js";
import { tell } from "./topics.js";

const PAGE = 12; // images that are shown at a time
const CRISP = 48; // pixels a side, up to which an image is enlarged without smoothing

/** @param {Bench} bench */
export function folderImages(bench) {
  /** @type {Row[]} */
  let rows = [];
  let data = "";
  let shown = PAGE;
  let turn = 0;
  const model = h("select", { class: "vs-select", "aria-label": "Of the model", onchange: () => restart() });
  const by = h("select", { class: "vs-select", "aria-label": "By", onchange: () => restart() });
  const sheet = h("div", { class: "vs-bench-images" });
  const more = button("More", () => {
    shown += PAGE;
    draw();
  });
  const error = errorLine();
  const head = h(
    "div",
    { class: "vs-actions" },
    h("span", { class: "vs-bench-head" }, "The worst images first"),
    model,
    by,
  );
  const hint = h("p", { class: "vs-caption" }, "Choose one to see it above, in all panes at once.");
  const node = h("section", { hidden: true }, head, hint, error.node, sheet, h("div", { class: "vs-actions" }, more));

  const restart = () => {
    shown = PAGE;
    sheet.replaceChildren();
    draw();
  };
  const chosen = () => rows.find(({ name }) => name === model.value)?.measured ?? null;

  /** @param {number} number of the image @param {string} label @param {HTMLElement} cell */
  const open = async (number, label, cell) => {
    const measured = chosen();
    if (!measured) return;
    const asked = { data, shape: measured.shape, number };
    const found = await bench.server.picture(asked).catch(() => ({ error: NO_ANSWER }));
    error.say("error" in found ? found.error : null);
    if (!("uri" in found)) return;
    for (const each of sheet.children) each.setAttribute("aria-pressed", String(each === cell));
    tell("compare-show", { value: { kind: "inline", uri: found.uri, label }, uri: found.uri, label });
    document.querySelector('[data-vs="comparison"]')?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  };
  const draw = async () => {
    const measured = chosen();
    const mine = ++turn;
    if (!measured) return;
    const order = worstFirst(measured, by.value);
    more.hidden = shown >= order.length;
    const wanted = order.slice(sheet.childElementCount, shown);
    if (!wanted.length) return;
    const asked = { data, shape: measured.shape, numbers: wanted.map((i) => measured.images.numbers[i]) };
    const found = await bench.server.thumbnails(asked).catch(() => ({ error: NO_ANSWER }));
    const image = "sprite" in found ? await loadImage(found.sprite).catch(() => null) : null;
    if (mine !== turn) return;
    error.say("error" in found ? found.error : null);
    wanted.forEach((i, place) => {
      const canvas = h("canvas", { width: 96, height: 96 });
      if (image && "sprite" in found) {
        canvas.width = found.width;
        canvas.height = found.height;
        canvas.classList.toggle("crisp", found.width <= CRISP);
        const [x, y] = cellOf(place, found);
        context2d(canvas).drawImage(image, x, y, found.width, found.height, 0, 0, found.width, found.height);
      }
      const name = measured.images.names[i];
      const text = figure(by.value, measured.images.columns[by.value][i]);
      const inside = [canvas, h("b", {}, text), h("span", {}, name)];
      const label = `${name}: ${by.selectedOptions[0]?.textContent} ${text}`;
      const cell = h("button", { type: "button", title: label, "aria-label": label, "aria-pressed": "false" }, inside);
      cell.addEventListener("click", () => open(measured.images.numbers[i], name, cell));
      sheet.append(cell);
    });
  };

  return {
    node,
    /** @param {Row[]} next @param {string} of the data that they were measured on */
    set(next, of) {
      const before = `${model.value} ${by.value}`;
      rows = next.filter(({ measured }) => measured);
      data = of;
      node.hidden = !rows.length;
      const [first] = rows;
      if (!first?.measured) return;
      const kept = model.value;
      model.replaceChildren(
        ...rows.map(({ name, letter, title }) => h("option", { value: name }, `${letter} ${title}`)),
      );
      if (rows.some(({ name }) => name === kept)) model.value = kept;
      const sorted = by.value;
      const columns = imageColumns(first.measured);
      by.replaceChildren(...columns.map(({ key, head }) => h("option", { value: key }, head)));
      if (columns.some(({ key }) => key === sorted)) by.value = sorted;
      if (before !== `${model.value} ${by.value}` || sheet.childElementCount === 0) restart();
      hint.textContent = `Choose one of ${number(first.measured.row.images)} to see it above, in all panes at once.`;
    },
  };
}
