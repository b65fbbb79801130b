// The list of runs: which is looked at, which are compared, and, for whoever started one, renaming, continuing,
// deleting.

/** @import { RunChange, RunChanged, RunEntry } from "./types" */
import { button, errorLine, h, NO_ANSWER } from "./dom.js";
import { ago, number } from "./format.js";
import { isLive } from "./training_facts.js";

const SMALL = { class: "vs-button small" };
const DANGER = { class: "vs-button small danger" };
const BELOW_ZERO =
  "“best” is the lowest validation loss. It may be below zero: for photographs the loss is the negative logarithm of " +
  "a density, which has no floor at 0. Lower is better all the same, among runs on the same data.";
const UPDATE = 30_000; // ms, of how long ago each run was started

/**
 * @typedef {object} RunListState
 * @property {RunEntry[]} runs
 * @property {string | null} chosen the run that is looked at
 * @property {string[]} compared
 * @property {boolean} host whether the visitor may change every run
 */

/**
 * @param {object} page
 * @param {(name: string) => void} page.watch
 * @param {(name: string, on: boolean) => void} page.compare
 * @param {(what: RunChange) => Promise<RunChanged>} page.change
 * @param {(name: string) => string} page.colour of a run's curves
 * @param {number} page.most runs in one chart
 * @param {boolean} page.training whether training is allowed here
 * @param {number} page.maxEpochs
 */
export function runList({ watch, compare, change, colour, most, training, maxEpochs }) {
  const table = h("div", { class: "vs-runs", role: "list" });
  const heading = h("h3", {}, "Runs", h("small", {}, "tick several to compare their curves"));
  const below = h("p", { class: "vs-caption", hidden: true }, BELOW_ZERO);
  const node = h("section", { class: "vs-all-runs" }, heading, table, below);
  /** @type {RunListState} */
  let state = { runs: [], chosen: null, compared: [], host: false };
  /** @type {string | null} */
  let opened = null;
  let drawn = "";

  /** @param {string | null} name */
  const open = (name) => {
    opened = name;
    draw();
  };

  /** What can be done with a run whose panel is open. @param {RunEntry} entry */
  const changePanel = (entry) => {
    const error = errorLine();
    /** @param {HTMLButtonElement} pressed @param {Omit<RunChange, "run">} what */
    const act = async (pressed, what) => {
      pressed.disabled = true;
      /** @type {RunChanged} */
      const answer = await change({ run: entry.name, ...what }).catch(() => ({ error: NO_ANSWER }));
      pressed.disabled = false;
      error.say(answer.error);
      if (answer.error) return;
      open(null);
      if (answer.run) watch(answer.run);
    };
    /** @param {string} label @param {HTMLInputElement} input @param {string} verb
     * @param {() => Omit<RunChange, "run">} what */
    const form = (label, input, verb, what) => {
      const submit = h("button", { type: "submit", class: "vs-button small" }, verb);
      /** @param {Event} event */
      const onsubmit = (event) => {
        event.preventDefault();
        act(submit, what());
      };
      return h("form", { class: "vs-inline", onsubmit }, h("label", { for: input.id }, label), input, submit);
    };

    const finished = entry.state === "finished";
    const target = (entry.epochs || 1) * (finished ? 2 : 1);
    const countAttributes = { type: "number", min: 1, max: maxEpochs, value: target };
    const epochs = h("input", { id: "vs-more-epochs", class: "vs-number", ...countAttributes });
    const lineAttributes = { type: "text", maxlength: 80, spellcheck: "false", autocomplete: "off" };
    const name = h("input", { id: "vs-rename", class: "vs-line", value: entry.name, ...lineAttributes });

    const confirm = button("Delete", () => act(confirm, { do: "delete" }), DANGER);
    const keep = button("Keep", () => ask(false), SMALL);
    const question = `Delete ${entry.name}, its model and its images for good?`;
    const sure = h("div", { class: "vs-inline", hidden: true }, h("span", {}, question), confirm, keep);
    const remove = button("Delete…", () => ask(true), DANGER);
    /** @param {boolean} on */
    const ask = (on) => {
      remove.hidden = on;
      sure.hidden = !on;
      (on ? keep : remove).focus();
    };

    const goOn = () => ({ do: /** @type {const} */ ("continue"), epochs: Number(epochs.value) });
    const rename = () => ({ do: /** @type {const} */ ("rename"), name: name.value });
    const label = finished ? "Train on, to epoch" : "Continue to epoch";
    const continuing = training ? form(label, epochs, "Continue", goOn) : null;
    return h("div", { class: "vs-panel" }, continuing, form("Name", name, "Rename", rename), remove, sure, error.node);
  };
  /** @param {RunEntry} entry */
  const panel = (entry) => {
    const sentence = whyUnchangeable(entry, state.host);
    return sentence ? h("p", { class: "vs-caption vs-panel" }, sentence) : changePanel(entry);
  };

  /** @param {RunEntry} entry */
  const row = (entry) => {
    const { chosen, compared } = state;
    const { name, started } = entry;
    const on = compared.includes(name);
    const tick = h("input", {
      type: "checkbox",
      "aria-label": `Compare ${name}`,
      checked: on,
      disabled: on ? name === chosen : compared.length >= most,
      style: on ? `--swatch: var(--vs-${colour(name)})` : "",
      onchange: () => compare(name, tick.checked),
    });
    const current = name === chosen ? "true" : null;
    const link = { type: "button", class: "vs-run-name", "aria-current": current, onclick: () => watch(name) };
    const age = started ? ago(Date.now() / 1000 - started) : "ready-made";
    const more = {
      ...SMALL,
      class: "vs-button small vs-more",
      "aria-expanded": String(opened === name),
      "aria-label": `Change ${name}`,
    };
    const toggle = () => {
      open(opened === name ? null : name);
      /** @type {HTMLElement | null} */
      const again = table.querySelector(`[data-run="${CSS.escape(name)}"] .vs-more`);
      again?.focus();
    };
    return h(
      "div",
      { class: `vs-run-row${name === chosen ? " chosen" : ""}`, role: "listitem", "data-run": name },
      tick,
      h("button", link, name),
      h("span", { class: `vs-state ${entry.state}` }, entry.state),
      h("span", { class: "vs-run-best" }, h("small", {}, "best "), number(entry.best)),
      h("span", { class: "vs-run-epochs" }, epochsText(entry)),
      h("span", { class: "vs-run-age", "data-started": started ?? "" }, age),
      button("⋯", toggle, more),
    );
  };

  const draw = () => {
    const { runs, host } = state;
    below.hidden = !runs.some((run) => (run.best ?? 0) < 0);
    const all = JSON.stringify([state, opened]);
    if (all === drawn) return;
    drawn = all;
    // What is being typed or about to be deleted is not redrawn under the visitor's hands.
    const about = `${opened} ${runs.find((run) => run.name === opened)?.state} ${host}`;
    /** @type {HTMLElement | null} */
    const old = table.querySelector(".vs-panel");
    const kept = old?.dataset.about === about ? old : null;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const inPanel = Boolean(kept?.contains(focused));
    /** @type {HTMLElement | null | undefined} */
    const inRow = focused?.closest(".vs-run-row");
    const rows = runs.map((entry) => {
      const made = row(entry);
      if (entry.name === opened) {
        const below = kept ?? panel(entry);
        below.dataset.about = about;
        made.append(below);
      }
      return made;
    });
    table.replaceChildren(...rows);
    if (inPanel) focused?.focus();
    else if (inRow) {
      /** @type {NodeListOf<HTMLElement>} */
      const there = table.querySelectorAll(`[data-run="${CSS.escape(inRow.dataset.run ?? "")}"] *`);
      const same = [...there].find((e) => e.className === focused?.className && e.tagName === focused.tagName);
      same?.focus();
    }
    node.hidden = !runs.length;
  };
  setInterval(() => {
    /** @type {NodeListOf<HTMLElement>} */
    const ages = table.querySelectorAll("[data-started]");
    for (const span of ages)
      if (span.dataset.started) span.textContent = ago(Date.now() / 1000 - Number(span.dataset.started));
  }, UPDATE);
  return {
    node,
    /** @param {RunListState} news */
    set(news) {
      state = news;
      draw();
    },
  };
}

/** Why a visitor cannot change a run; null if they can. @param {RunEntry} entry @param {boolean} host */
function whyUnchangeable(entry, host) {
  if (entry.bundled) return "This training came with the model of the same name; it can be watched, but not changed.";
  if (!entry.mine && !host) return "Only whoever started this run, or the host, can change it. Everybody can watch.";
  if (isLive(entry.state)) return "It is training; once it has ended it can be renamed, continued or deleted.";
  return null;
}

/** @param {RunEntry} entry */
function epochsText({ state, epoch, epochs }) {
  if (!epochs) return "";
  const so = isLive(state) || epoch < epochs ? `${number(epoch)} of ` : "";
  return `${so}${number(epochs)} ${epochs === 1 ? "epoch" : "epochs"}`;
}
