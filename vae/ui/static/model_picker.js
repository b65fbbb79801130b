// The model picker: a native select with the model's facts beside it, and a panel to open models that are not listed.
// It asks the server now and then whether the list has changed, so that a model that has just been trained is there for
// everybody at once. What a visitor opened is listed on this page alone.

/** @import { Context, ModelFacts, ModelNews, PickerServer } from "./types" */
import { announce, h, poll } from "./dom.js";
import { latentShape, number, shortName } from "./format.js";
import { openModelPanel } from "./open_model_panel.js";
import { listen, tell } from "./topics.js";

const ASK = 2000; // ms between looks at the list
const GROUPS = [
  ["live", "Training now"],
  ["bundled", "Ready-made"],
  ["run", "Trained here"],
  ["opened", "Opened by you"],
];
const ALL_DIGITS = 9;

/** @type {ModelNews["title"]} */
const titleOf = ({ name, kind, epoch }) => (kind === "live" ? `${name} (live, epoch ${epoch})` : shortName(name));

/** @typedef {{ models: ModelFacts[], version: string | null, public: boolean }} Options */

/** @param {Context<string | null, PickerServer, Options>} context */
export default function mount({ root, props, server, trigger, watch, options }) {
  const select = h("select", { id: "vs-model", class: "vs-select", onchange: () => choose(select.value) });
  const chips = h("ul", { class: "vs-chips", "aria-label": "The model's facts" });
  let { models, version } = options;
  /** @type {string | null} a run's model that the visitor wants, once it is listed */
  let wanted = null;
  /** @type {string[]} models that are shown on the page, whether or not the server would list so old ones */
  let beside = [];
  /** @type {Map<string, ModelFacts>} the models that the visitor opened */
  const own = new Map();
  const panel = openModelPanel({
    root,
    server,
    isPublic: options.public,
    opened(model) {
      own.set(model.name, model);
      choose(model.name);
      select.focus();
      announce(`${model.name} is open: ${number(model.parameters, ALL_DIGITS)} parameters.`);
    },
  });
  root.append(
    h("label", { for: "vs-model" }, "Model"),
    select,
    panel.button,
    panel.chip,
    chips,
    panel.outside,
    panel.node,
  );

  const all = () => {
    const listed = new Set(models.map((model) => model.name));
    return [...models, ...[...own.values()].filter((model) => !listed.has(model.name))];
  };
  /** @param {ModelFacts | undefined} model */
  const drawFacts = (model) => {
    const facts = [];
    if (model?.kind === "live") facts.push(h("li", { class: "live" }, "live"));
    if (model) {
      facts.push(h("li", {}, `${number(model.parameters, ALL_DIGITS)} parameters`));
      facts.push(h("li", {}, `latent ${latentShape(model)}`));
    }
    if (model?.trained_on) facts.push(h("li", {}, `trained on ${model.trained_on}`));
    chips.replaceChildren(...facts);
  };
  const draw = () => {
    const groups = GROUPS.flatMap(([kind, label]) => {
      const members = all().filter((model) => model.kind === kind);
      const options = members.map((model) => h("option", { value: model.name }, titleOf(model)));
      return options.length ? h("optgroup", { label }, options) : [];
    });
    select.replaceChildren(...groups);
    select.value = props.value ?? "";
    drawFacts(all().find((model) => model.name === props.value));
    tell("models", { models: all(), chosen: props.value, title: titleOf, choose });
  };
  const askForNew = () => {
    version = null;
    ask();
  };
  /** @param {string} name */
  const choose = (name) => {
    props.value = name;
    draw();
  };
  /** The epoch of a model that is being trained. @param {string | null} name */
  const epochOf = (name) => models.find((model) => model.name === name)?.epoch ?? null;
  const ask = poll(document.body, ASK, async () => {
    const chosen = props.value === null ? [] : [props.value];
    const news = await server.model_list({ version, names: [...chosen, ...beside] });
    if (!news.models) return;
    const before = epochOf(props.value);
    models = news.models;
    version = news.version;
    if (wanted !== null && models.some((model) => model.name === wanted)) {
      choose(wanted);
      wanted = null;
    } else if (models.length && !all().some((model) => model.name === props.value)) choose(models[0].name);
    else draw();
    if (before !== null && epochOf(props.value) !== before) trigger("grown"); // what is shown can be drawn anew
  });
  listen("open-model", (/** @type {string} */ name) => panel.open(name));
  listen("use-model", (/** @type {string | null} */ name) => {
    if (!name) return;
    wanted = name;
    askForNew();
  });
  listen("list-models", (/** @type {string[]} */ names) => {
    beside = names;
    askForNew();
  });
  watch("value", () => {
    draw();
    if (!all().some((model) => model.name === props.value)) askForNew();
  });
  draw();
}
