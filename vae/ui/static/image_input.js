// An image from the visitor: dropped, pasted, chosen, drawn, or one of the examples. With the option `topic` each
// choice is told to other components too, with `shows` they can choose one, with `sketch` what the model makes of a
// drawing under way is told; `tab` is where it is; with `photographs`, families of models, the example is a photograph
// with a model of those, clothing with one of clothes and a digit with others, until the visitor chooses.

/** @import { Context, Example, ImageValue, ModelNews, SketchServer } from "./types" */
import { errorLine, h, uniqueId } from "./dom.js";
import { drawButton } from "./draw_button.js";
import { acceptFiles, showThumb } from "./file_drop.js";
import { setFirstValue } from "./first_value.js";
import { keepImage, seenAs } from "./own_images.js";
import { isSmall } from "./pixel_scale.js";
import { listen, tell } from "./topics.js";

const DRAWING = "Your drawing";
const CLOTHES = "clothes-shirt"; // whose pattern a model of clothes leaves out

/** @returns {Example[]} those that Python put into the page's head */
const readExamples = () => JSON.parse(document.getElementById("vs-examples")?.textContent ?? "[]");

/** @typedef {{ tab?: string, topic?: string, sketch?: string, shows?: string, photographs?: string[] }} Options */

/** @param {Context<ImageValue | null, SketchServer, Options>} context */
export default function mount({ root, props, server, upload, watch, options }) {
  const examples = readExamples();
  const input = h("input", { type: "file", accept: "image/*", id: `vs-file-${uniqueId()}`, class: "vs-file" });
  const thumb = h("img", { class: "vs-thumb", alt: "" });
  const name = h("span", { class: "vs-drop-name" });
  const invitation = h("span", {}, h("span", { class: "vs-link" }, "Choose a picture"), ", drop one here, or paste");
  const text = h("span", { class: "vs-drop-text" }, name, invitation);
  const zone = h("label", { class: "vs-drop", for: input.id }, thumb, text);
  const error = errorLine();
  const buttons = h("div", { class: "vs-examples", role: "group", "aria-label": "Example pictures" });
  const { sketch } = options;
  const draw = drawButton({
    of: "The picture",
    server,
    drawn: (uri) => choose({ kind: "inline", uri, label: DRAWING }, uri, DRAWING),
    looked: sketch ? (look) => tell(sketch, look) : undefined,
  });
  root.append(h("div", { class: "vs-source" }, input, zone, draw.node), error.node, draw.place, buttons);

  const link = new URLSearchParams(location.search);
  let chosen = link.has("image") && (link.get("tab") ?? "reconstruct") === options.tab; // by the visitor, or by a link
  /** @type {ModelNews | null} */
  let latest = null;
  const first = props.value?.kind === "example" ? props.value.name : "";
  let suited = first; // the example that suits the model

  /** @param {ImageValue} value @param {string} uri @param {string} label */
  const show = (value, uri, label) => {
    thumb.onload = () => thumb.classList.toggle("crisp", isSmall(thumb.naturalWidth));
    showThumb(thumb, uri);
    thumb.alt = `The chosen picture: ${label}`;
    name.textContent = label;
    const example = value.kind === "example" ? value.name : null;
    for (const button of buttons.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(button.dataset.name === example));
    if (options.topic) tell(options.topic, { value, label });
  };
  /** @param {ImageValue} value @param {string} uri @param {string} label */
  const choose = (value, uri, label) => {
    chosen = true;
    error.say(null);
    if (value.kind !== "inline") draw.close();
    show(value, uri, label);
    props.value = value;
  };
  /** Shows what Python sent, if that is not the visitor's own file. */
  const showValue = () => {
    const value = props.value;
    if (value?.kind === "inline") show(value, value.uri, value.label);
    const example = value?.kind === "example" && examples.find((e) => e.name === value.name);
    if (value && example) show(value, example.uri, example.label);
  };

  acceptFiles({
    zone,
    input,
    upload,
    title: "it becomes the picture of this tab",
    done: (file, uri) => choose({ kind: "file", file }, uri, file.orig_name),
    failed: error.say,
  });
  for (const { name, label, uri } of examples) {
    const image = h("img", { src: uri, alt: label, class: name.startsWith("photo") ? null : "crisp" });
    const attributes = {
      type: "button",
      class: "vs-example",
      "data-name": name,
      title: label,
      "aria-pressed": "false",
    };
    const onclick = () => choose({ kind: "example", name }, uri, label);
    buttons.append(h("button", { ...attributes, onclick }, image));
  }

  /** @param {ModelNews} news */
  const suit = (news) => {
    latest = news;
    const model = news.models.find((m) => m.name === news.chosen);
    if (!model || chosen || props.value?.kind !== "example") return;
    if (![first, suited].includes(props.value.name)) return;
    const ofClothes = model.trained_on?.includes("Fashion") && examples.some((each) => each.name === CLOTHES);
    const name = options.photographs?.includes(model.family) ? "photo-parrot" : ofClothes ? CLOTHES : first;
    suited = name;
    if (props.value.name === name) return;
    props.value = { kind: "example", name };
    showValue();
  };
  watch("value", showValue);
  showValue();
  if (options.photographs) {
    listen("models", suit);
    setFirstValue(watch, () => latest && suit(latest));
  }
  const { tab } = options;
  if (!tab) return;
  keepImage({
    tab,
    key: "image",
    watch,
    get: () => (props.value?.kind === "example" ? null : props.value),
    set(value) {
      const { uri, label } = seenAs(value);
      choose(value, uri, label);
    },
  });
  if (options.shows) listen(options.shows, ({ value, uri, label }) => choose(value, uri, label));
}
