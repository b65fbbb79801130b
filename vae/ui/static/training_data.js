// The data of a training: a file dropped here, and sixteen of the images as the model will see them.

/** @import { Context, DataLook, DataServer, TrainingAsked, UploadedFile } from "./types" */
import { announce, context2d, errorLine, h, loadImage, NO_ANSWER, onResize, pixelRatio } from "./dom.js";
import { acceptFiles } from "./file_drop.js";
import { number } from "./format.js";
import { cellOf } from "./geometry.js";
import { enlargement } from "./pixel_scale.js";
import { listen, tell } from "./topics.js";

const ENDINGS = [".zip", ".tar", ".tar.gz", ".tgz", ".npy", ".npz", ".csv", "-ubyte", "-ubyte.gz"];
const CHOOSABLE = ".zip,.tar,.tgz,.gz,.npy,.npz,.csv"; // an idx file has no ending that a browser knows
const ACCEPTED = ".zip, .tar, .tar.gz, .npy, .npz, .csv and idx files";
const COLUMNS = 8;
const GAP = 2; // CSS pixels
const LATE = 300; // ms, after which it is said that the images are being read
const SEEN = ["size", "in_channels", "init", "crop", "widths", "downscale"]; // settings that change how images look

/** @param {DataLook} look */
function describe({ says, skipped, remarks }) {
  return [`${says}${skipped === 0 ? "; all could be read" : ""}.`, ...remarks].join(" ");
}

/** @param {Context<{ file: UploadedFile } | null, DataServer, TrainingAsked>} context */
export default function mount({ root, props, server, upload, trigger, options }) {
  const input = h("input", { type: "file", accept: CHOOSABLE, id: "vs-archive", class: "vs-file" });
  const name = h("span", { class: "vs-drop-name" });
  const endings = [h("b", {}, ".zip"), " or ", h("b", {}, ".tar")];
  const link = h("span", { class: "vs-link" }, "choose one");
  const invitation = h("span", {}, "Or drop a ", ...endings, " of pictures here, or ", link);
  const text = h("span", { class: "vs-drop-text" }, name, invitation);
  const zone = h("label", { class: "vs-drop slim", for: input.id }, text);
  const useList = () => {
    forgetArchive();
    look();
  };
  const removeAttributes = { type: "button", class: "vs-link vs-remove", hidden: true, onclick: useList };
  const remove = h("button", removeAttributes, "Use the list instead");
  const error = errorLine();
  const canvas = h("canvas", { class: "vs-look" });
  const box = h("div", { class: "vs-look-box" }, canvas);
  const says = h("p", { class: "vs-caption" });
  const classes = h("ul", { class: "vs-classes", "aria-label": "Classes" });
  const title = h("p", { class: "vs-look-title" }, "As the model will see them");
  const advice = h("p", { class: "vs-advice", hidden: true, role: "status" });
  const part = h("div", { class: "vs-look-part" }, title, box, says, advice, classes);
  root.append(input, zone, remove, error.node, part);

  let { data, preset, settings } = options;
  /** @type {UploadedFile | null} */
  let archive = null;
  let asked = "";
  let turn = 0;
  /** @type {{ image: HTMLImageElement, found: DataLook } | null} */
  let shown = null;

  const forgetArchive = () => {
    archive = null;
    tell("archive", null);
    props.value = null;
    name.textContent = "";
    remove.hidden = true;
    invitation.hidden = false;
  };
  const draw = () => {
    if (!shown) return;
    const { image, found } = shown;
    const ratio = pixelRatio();
    const columns = Math.min(COLUMNS, found.n);
    const rows = Math.ceil(found.n / columns);
    const room = Math.floor((box.clientWidth - GAP * (columns - 1)) / columns);
    const scale = enlargement(found.width, room) * ratio;
    const width = Math.round(found.width * scale);
    const height = Math.round(found.height * scale);
    const space = Math.round(GAP * ratio);
    canvas.width = columns * (width + space) - space;
    canvas.height = rows * (height + space) - space;
    canvas.style.width = `${canvas.width / ratio}px`;
    const c = context2d(canvas);
    c.imageSmoothingEnabled = scale < 1;
    for (let i = 0; i < found.n; i++) {
      const [x, y] = cellOf(i, { columns, width: width + space, height: height + space });
      c.drawImage(image, ...cellOf(i, found), found.width, found.height, x, y, width, height);
    }
  };
  /** @param {DataLook} found */
  const drawClasses = ({ classes: names, more }) => {
    if (!names.length) return;
    const head = h("li", { class: "head" }, `${number(names.length + more)} classes`);
    classes.append(head, ...names.map((each) => h("li", {}, each)));
    if (more) classes.append(h("li", {}, `and ${number(more)} more`));
  };

  /** @param {DataLook["suggest"]} suggested */
  const advise = (suggested) => {
    advice.hidden = !suggested;
    if (!suggested) return;
    const take = () => trigger("send", { preset: suggested.preset });
    advice.replaceChildren(
      `${suggested.says} `,
      h("button", { type: "button", class: "vs-link", onclick: take }, suggested.does),
    );
  };

  /** Asks how the chosen data look, if that is not known yet. */
  const look = async () => {
    const source = archive ? archive.path : data;
    const wanted = JSON.stringify([preset, source, ...SEEN.map((name) => settings[name] ?? null)]);
    if (wanted === asked || !source || !box.clientWidth) return;
    asked = wanted;
    const mine = ++turn;
    const late = setTimeout(() => {
      if (mine !== turn) return;
      says.textContent = "Reading the pictures";
      box.classList.add("busy");
    }, LATE);
    const found = await server.look_at_data({ preset, data: source, settings }).catch(() => ({ error: NO_ANSWER }));
    const image = "sprite" in found ? await loadImage(found.sprite).catch(() => null) : null;
    clearTimeout(late);
    if (mine !== turn) return;
    box.classList.remove("busy");
    if ("settings" in found) return; // they would not do: beside the button it is said why
    box.classList.toggle("empty", !image);
    classes.replaceChildren();
    error.say(found.error);
    says.textContent = "";
    advise("suggest" in found ? found.suggest : null);
    if (!("sprite" in found) || !image) {
      says.textContent = "says" in found ? found.says : "";
      if (archive) {
        forgetArchive();
        asked = "";
      }
      return;
    }
    shown = { image, found };
    draw();
    says.textContent = describe(found);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${found.n} of the pictures, as the model will see them`);
    drawClasses(found);
    if (archive) announce(says.textContent);
  };

  acceptFiles({
    zone,
    input,
    upload,
    kind: "archive",
    title: "the model learns from its pictures",
    done: (file) => {
      if (!ENDINGS.some((ending) => file.orig_name.toLowerCase().endsWith(ending))) {
        error.say(`${file.orig_name} is no archive of pictures; ${ACCEPTED} are accepted.`);
        return;
      }
      archive = file;
      props.value = { file };
      tell("archive", file.path);
      name.textContent = file.orig_name;
      invitation.hidden = true;
      remove.hidden = false;
      look();
    },
    failed: error.say,
  });
  listen("data", (/** @type {TrainingAsked} */ news) => {
    if (news.data !== data && archive) forgetArchive(); // what was chosen last counts
    ({ data, preset, settings } = news);
    look();
  });
  onResize(box, () => {
    draw();
    look();
  });
}
