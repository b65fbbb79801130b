// One end of an interpolation: a random latent from a seed, a picture or drawing, or a sample or point sent from
// another tab.

/** @import { Context, Endpoint, SketchServer } from "./types" */
import { button, errorLine, h, icon } from "./dom.js";
import { drawButton } from "./draw_button.js";
import { acceptFiles, showThumb } from "./file_drop.js";
import { keepImage, seenAs } from "./own_images.js";
import { listen } from "./topics.js";

const SEEDS = 1e6; // that the button chooses among

/** @param {Endpoint | null} value */
const describe = (value) => {
  if (!value) return "";
  if (value.kind === "seed") return "a random latent";
  return value.kind === "file" ? value.file.orig_name : value.label;
};

/** @param {Context<Endpoint | null, SketchServer, { side: string }>} context */
export default function mount({ root, props, server, upload, watch, options }) {
  const id = `vs-end-${options.side}`;
  const input = h("input", { type: "file", accept: "image/*", id: `${id}-file`, class: "vs-file" });
  const thumb = h("img", { class: "vs-thumb crisp", alt: "" });
  const says = h("span", { class: "vs-end-says" });
  const seed = h("input", { type: "number", min: 0, step: 1, id: `${id}-seed`, class: "vs-number" });
  const error = errorLine();
  const another = { title: "Another random latent", "aria-label": "Another random latent" };
  const roll = button(icon("redo"), () => useSeed(Math.floor(Math.random() * SEEDS)), another);
  const choose = h("label", { for: input.id, class: "vs-button" }, icon("upload"), "Picture");
  const draw = drawButton({
    of: `End ${options.side}`,
    server,
    drawn: (uri) => set({ kind: "inline", uri, label: "your drawing" }),
  });
  const controls = h(
    "div",
    { class: "vs-end-controls" },
    h("label", { for: seed.id }, "Seed"),
    seed,
    roll,
    choose,
    input,
  );
  const title = h("div", { class: "vs-end-title" }, h("strong", {}, options.side), says, draw.node);
  root.append(
    h("div", { class: "vs-end" }, thumb, h("div", { class: "vs-end-body" }, title, controls)),
    error.node,
    draw.place,
  );

  /** @type {string | null} */
  let own = null; // the visitor's picture or sample; null where the decoded end is the thumbnail
  const show = () => {
    const value = props.value;
    if (value?.kind === "seed") own = null;
    else if (value && "uri" in value) own = value.uri;
    says.textContent = describe(value);
    seed.value = value?.kind === "seed" ? String(value.seed) : "";
    seed.placeholder = value?.kind === "seed" ? "" : "–";
    if (own) showThumb(thumb, own);
    thumb.alt = `End ${options.side}: ${says.textContent}`;
    error.say(null);
  };
  /** @param {Endpoint} value */
  const set = (value) => {
    props.value = value;
    if (value.kind !== "inline") draw.close();
    show();
  };
  /** @param {number} number */
  const useSeed = (number) => set({ kind: "seed", seed: number });
  seed.addEventListener("change", () => {
    const number = Number(seed.value);
    if (seed.value !== "" && Number.isSafeInteger(number) && number >= 0) useSeed(number);
    else error.say(`A seed is a whole number from 0 to ${Number.MAX_SAFE_INTEGER}.`);
  });
  const take = acceptFiles({
    zone: root,
    input,
    upload,
    title: `it becomes end ${options.side}`,
    done: (file, uri) => {
      own = uri;
      set({ kind: "file", file });
    },
    failed: error.say,
  });
  root.addEventListener("paste", (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    take(event.clipboardData.files[0]);
  });
  listen("ends", (/** @type {Record<string, string>} */ uris) => {
    if (!own && uris[options.side]) showThumb(thumb, uris[options.side]);
  });
  watch("value", () => {
    own = null;
    show();
  });
  show();
  keepImage({
    tab: "interpolate",
    key: options.side.toLowerCase(),
    watch,
    get: () => (props.value?.kind === "seed" ? null : props.value),
    set(value) {
      own = seenAs(value).uri;
      set(value);
    },
  });
}
