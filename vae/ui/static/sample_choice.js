// Above the samples: the switch between plain noise and the learned prior, and the choice of one class alone.

/** @import { Context, ModelNews, SampleChoice } from "./types" */
import { h } from "./dom.js";
import { listen } from "./topics.js";

/** @param {Context<SampleChoice | null>} context */
export default function mount({ root, props, trigger, watch }) {
  /** @type {string | null | undefined} */
  let mine; // the visitor's own choice of a class, null for all; undefined before there is one
  const says = h("small");
  // What a click on it chooses, prior_choice.js hears of.
  const toggle = h(
    "button",
    { type: "button", role: "switch", class: "vs-switch", "aria-checked": "false" },
    h("span", { class: "vs-knob", "aria-hidden": "true" }),
    h("span", {}, h("strong", {}, "Repair with a learned prior"), says),
  );
  const chips = h("div", { class: "vs-one-class", role: "group", "aria-label": "Draw one class alone" });
  root.append(h("div", { class: "vs-sample-choice" }, toggle, chips));

  const ask = () => {
    props.value = { ...props.value, label: mine ?? null };
    show();
    trigger("choose");
  };
  /** @param {string | null} label @param {string} text */
  const chip = (label, text) => {
    const chosen = label === (props.value?.label ?? null);
    const onclick = () => {
      mine = label;
      if (label !== (props.value?.label ?? null)) ask();
    };
    return h("button", { type: "button", "aria-pressed": String(chosen), onclick }, text);
  };
  /** @type {string} */
  let listed = "";
  const show = () => {
    const { classes = [], label = null, prior = "normal", learned } = props.value ?? {};
    const on = prior !== "normal";
    toggle.setAttribute("aria-checked", String(on));
    toggle.dataset.prior = on ? "normal" : (learned ?? "");
    toggle.disabled = Boolean(props.value?.classes) && !on && !learned;
    says.textContent = toggle.disabled ? "none is fitted to this model yet" : "the same noise, led to real latents";
    const now = JSON.stringify(classes);
    if (now !== listed) {
      listed = now;
      const all = classes.length ? [chip(null, "All classes"), ...classes.map((name) => chip(name, name))] : [];
      chips.replaceChildren(...all);
    }
    chips.hidden = Boolean(props.value?.classes) && !classes.length; // until it is known, there is room for them
    [...chips.children].forEach((each, i) => {
      each.setAttribute("aria-pressed", String((i ? classes[i - 1] : null) === label));
    });
  };

  // Another prior is chosen for all classes, and another model has others.
  document.addEventListener("change", ({ target }) => {
    if (target instanceof HTMLInputElement && target.name === "vs-prior") mine = null;
  });
  /** @type {string | null} */
  let model = null;
  listen("models", (/** @type {ModelNews} */ { chosen }) => {
    if (chosen !== model) mine = undefined;
    model = chosen;
  });
  watch("value", () => {
    if (props.value?.linked) mine = undefined; // the visitor went back
    if (mine !== undefined && (props.value?.label ?? null) !== mine)
      ask(); // this answers an earlier choice
    else show();
  });
  show();
}
