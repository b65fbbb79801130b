// The models of the panes on a whole folder: what is measured, the table, the plot, and the worst images first.

/** @import { BenchNews, Measured } from "./types" */
/** @import { Bench } from "./bench.js" */
/** @import { Row } from "./folder_table.js" */
import { colourOf, LETTERS, plotFigure } from "./bench_plot.js";
import { announce, button, errorLine, h, icon } from "./dom.js";
import { acceptFiles } from "./file_drop.js";
import { folderImages } from "./folder_images.js";
import { saveTable } from "./folder_picture.js";
import {
  areAlike,
  barOf,
  csv,
  figureOf,
  imageLines,
  modelLines,
  percentilesOf,
  shownColumns,
  sorted,
} from "./folder_table.js";
import { fileName, number, plural } from "./format.js";
import { showShare } from "./progress.js";
import { saveFile } from "./save_file.js";

const ALWAYS = ["psnr", "ssim", "delta-e", "equivariance"];
const MANY = 100; // images, unless told otherwise
/** @type {[string, string][]} */
const FEATURES = [
  ["", "not measured"],
  ["efficientnet", "by EfficientNet-Lite0"],
  ["inception", "by InceptionV3, as the field has it"],
];
/** @type {Record<string, string>} */
const NETWORKS = { fid: "fid_features", lpips: "lpips_features" };
const NOT_ALIKE =
  "The models saw these images in different sizes, colours or numbers, so their figures can't be compared.";

/** @param {HTMLElement} root @param {Bench} bench */
export default function mount(root, bench) {
  /** @type {Row[]} */
  let rows = [];
  /** @type {string} what the rows were measured on */
  let data = "";
  /** @type {{ key: string | null, falling: boolean }} */
  let order = { key: null, falling: true };
  /** @type {string | null} path of an archive */
  let archive = null;
  let mine = false; // whether what is computed is ours
  let live = "";

  // ---- what is asked for
  const names = h("datalist", { id: "vs-bench-sets" });
  const source = h("input", {
    type: "text",
    list: names.id,
    value: "digits",
    autocomplete: "off",
    spellcheck: "false",
  });
  source.addEventListener("input", () => forgetArchive());
  const count = h("input", { type: "number", min: 1, max: 10_000, step: 1, value: MANY });
  const size = h("select", { class: "vs-select" });
  for (const side of ["", "64", "128", "256", "512"])
    size.append(h("option", { value: side }, side ? `${side} pixels a side` : "each model's own"));
  const features = h("select", { class: "vs-select" });
  for (const [value, text] of FEATURES) features.append(h("option", { value }, text));
  const lpips = h("input", { type: "checkbox" });
  const error = errorLine();
  const input = h("input", { type: "file", accept: ".zip,.tar,.tgz,.gz", id: "vs-bench-archive", class: "vs-file" });
  const dropped = h("span", { class: "vs-drop-name" });
  const invitation = h("span", {}, "Or drop a ", h("b", {}, ".zip"), " of pictures, or ");
  invitation.append(h("span", { class: "vs-link" }, "choose one"));
  const zone = h(
    "label",
    { class: "vs-drop slim", for: input.id },
    h("span", { class: "vs-drop-text" }, dropped, invitation),
  );
  const forgetArchive = () => {
    archive = null;
    dropped.textContent = "";
  };
  acceptFiles({
    zone,
    input,
    upload: bench.upload,
    kind: "archive",
    title: "the models are measured on its pictures",
    done(file) {
      archive = file.path;
      source.value = "";
      dropped.textContent = `${file.orig_name} `;
      error.say(null);
    },
    failed: error.say,
  });
  bench.server.names().then(
    (found) => names.replaceChildren(...found.map((name) => h("option", { value: name }))),
    () => {},
  );
  const go = button("Measure", () => (mine && bench.run ? bench.stop() : measure()), { class: "vs-button primary" });
  const says = h("span");
  const bar = h("progress", { class: "live", max: 1, "aria-label": "Progress" });
  const now = h("div", { class: "vs-bench-now", hidden: true }, bar, says);
  /** @param {string} text @param {HTMLElement} control */
  const field = (text, control) => h("label", {}, text, control);
  root.append(
    h(
      "div",
      { class: "vs-bench-form" },
      field("Folder or data set", h("span", {}, source, names)),
      input,
      zone,
      field("Images at most", count),
      field("Size, where a model takes any", size),
      field("Fréchet distance", features),
      h("label", { class: "check", title: "By VGG16, 528 MB, which is downloaded once" }, lpips, "LPIPS"),
      go,
    ),
    error.node,
    now,
  );

  // ---- what came of it
  const table = h("table", { class: "vs-table" });
  const caption = h("p", { class: "vs-caption" });
  const plot = plotFigure("Accuracy against what the latent takes");
  const saveAs = () => fileName("figures", archive ? (dropped.textContent ?? "") : (data.split("/").at(-1) ?? ""));
  /** @param {string} text @param {string} kind */
  const saveText = (text, kind) => saveFile(new Blob([text], { type: "text/csv" }), `${saveAs()}${kind}.csv`);
  const saves = h(
    "div",
    { class: "vs-actions" },
    button([icon("download"), "CSV, a row an image"], () => saveText(csv(imageLines(rows)), "")),
    button([icon("download"), "CSV, a row a model"], () => saveText(csv(modelLines(rows)), "-models")),
    button([icon("download"), "PNG"], () => saveTable(rows, plot.plot(), `${saveAs()}.png`)),
  );
  const images = folderImages(bench);
  const result = h("div", { class: "vs-bench-part", hidden: true, style: "padding: 0" });
  result.append(h("div", { class: "vs-table-box" }, table), caption, saves);
  result.append(h("div", { class: "vs-bench-plots" }, plot.node), images.node);
  root.append(result);

  /** @param {string} key */
  const sortBy = (key) => {
    order = order.key === key ? { key, falling: !order.falling } : { key, falling: true };
    draw();
    /** @type {HTMLElement | null} */ (table.querySelector(`[data-key="${key}"] button`))?.focus();
  };
  const drawTable = () => {
    const columns = shownColumns(rows);
    const alike = areAlike(rows);
    const head = columns.map(({ key, head, unit, title }) => {
      const network = rows.map(({ measured }) => measured?.row[NETWORKS[key]]).find(Boolean);
      const small = network ? `by ${network}` : unit;
      const sorting = order.key === key ? (order.falling ? "descending" : "ascending") : null;
      const inside = button([head, small ? h("small", {}, small) : null], () => sortBy(key), { class: "" });
      return h("th", { scope: "col", "data-key": key, title, "aria-sort": sorting }, inside);
    });
    const body = sorted(rows, order.key, order.falling).map((row) => {
      const key = h("span", { class: "vs-bench-key", style: `background: ${colourOf(row.letter)}` }, row.letter);
      const { measured } = row;
      const of = measured
        ? h("small", {}, `${plural(measured.row.images, "image")}, ${measured.shape[0]} × ${measured.shape[0]}`)
        : null;
      const name = h("th", { scope: "row" }, key, row.title, of);
      if (row.error) return h("tr", { class: "failed" }, name, h("td", { colspan: columns.length || 1 }, row.error));
      const cells = columns.map(({ key, better }) => {
        const all = rows.map((each) => figureOf(each, key));
        const value = figureOf(row, key);
        const known = all.flatMap((each) => (each === null ? [] : [each]));
        const best = alike && known.length > 1 && value === (better > 0 ? Math.max(...known) : Math.min(...known));
        const share = h("i", { style: `--share: ${barOf(value, all)}` });
        const top = best && new Set(known).size > 1 ? "best" : null;
        return h("td", { class: top, title: percentilesOf(row, key) || null }, number(value), share);
      });
      return h("tr", {}, name, ...cells);
    });
    const first = h(
      "th",
      { scope: "col" },
      button("Model", () => sortBy(""), { class: "" }),
    );
    table.replaceChildren(h("thead", {}, h("tr", {}, first, ...head)), h("tbody", {}, ...body));
    caption.textContent = alike ? "" : NOT_ALIKE;
  };
  const draw = () => {
    result.hidden = !rows.length;
    if (!rows.length) return;
    if (order.key === "") order = { key: null, falling: true };
    drawTable();
    plot.set({
      title: "PSNR against bits per pixel",
      x: "bits per pixel",
      y: "PSNR, dB",
      series: rows.flatMap(({ letter, title, measured }) =>
        measured && typeof measured.row.psnr === "number"
          ? [{ letter, label: title, points: [[Number(measured.row.bits_per_pixel), measured.row.psnr]] }]
          : [],
      ),
    });
    images.set(rows, data);
  };

  /** @param {BenchNews} news */
  const receive = ({ model, row, images: found, shape, wanted, of, error: refused, what, share, done }) => {
    if (what) live = what;
    showShare(bar, share);
    says.textContent = live;
    if (model && row && found && shape) {
      /** @type {Measured} */
      const measured = { row, images: found, shape, wanted: wanted ?? 0, of: of ?? 0 };
      put(model, measured, null);
    } else if (model && refused) put(model, null, refused);
    else if (refused) error.say(refused);
    if (!done) return;
    mine = false;
    draw();
    if (rows.length) announce(`Measured ${plural(rows.length, "model")}.`);
  };
  /** @param {string} model @param {Measured | null} measured @param {string | null} refused */
  const put = (model, measured, refused) => {
    const letter = LETTERS[bench.models.indexOf(model)] ?? LETTERS[rows.length];
    rows = rows.filter((row) => row.name !== model);
    rows.push({ letter, name: model, title: bench.title(model), measured, error: refused });
    draw();
  };
  const measure = () => {
    error.say(null);
    const models = [...new Set(bench.models)];
    if (bench.run || !models.length) return;
    rows = [];
    order = { key: null, falling: true };
    draw();
    data = archive ?? source.value.trim();
    live = "Starting";
    mine = true;
    const metrics = [...ALWAYS, ...(features.value ? ["fid"] : []), ...(lpips.checked ? ["lpips"] : [])];
    const asked = { models, data, images: Number(count.value) || 0, size: size.value ? Number(size.value) : null };
    bench.start({ kind: "folder", ...asked, metrics, features: features.value || null }, receive);
  };
  const show = () => {
    const busy = Boolean(bench.run);
    go.textContent = busy && mine ? "Stop" : "Measure";
    go.disabled = (busy && !mine) || !bench.models.length;
    now.hidden = !(busy && mine);
  };
  bench.listeners.push(show);
  show();
}
