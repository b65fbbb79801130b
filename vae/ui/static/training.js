// A training, watched: state, curves and previews, kept up to date by asking for what is new since a cursor.

/** @import { Context, MetricRow, PreviewMoment, PreviewWanted, PriorState } from "./types" */
/** @import { RunChange, RunEntry, RunNews, RunState } from "./types" */
/** @import { TrainingOptions, TrainingServer } from "./types" */
/** @import { RunCurve } from "./curve_series.js" */
import { freeColour, rowFields } from "./curve_series.js";
import { announce, button, errorLine, h, NO_ANSWER, openTab, poll, uniqueId } from "./dom.js";
import { number } from "./format.js";
import { namedRow } from "./named_row.js";
import { runList } from "./run_list.js";
import { tell } from "./topics.js";
import { trainingAfter } from "./training_after.js";
import { trainingCurves } from "./training_curves.js";
import { hasStopped, isLive, trainingFacts } from "./training_facts.js";
import { trainingPreviews } from "./training_previews.js";
import { visitorToken } from "./visitor_token.js";

const MOST = 6; // runs in one chart
const TICK = 250; // ms; how often the server is asked it says itself
const NONE = "no run yet";

/** @typedef {RunCurve & { cursor: unknown }} WatchedCurve */

/** @param {Context<{ run: string, linked?: boolean } | null, TrainingServer, TrainingOptions>} context */
export default function mount({ root, props, server, watch, options }) {
  const page = uniqueId();
  /** @type {Map<string, RunEntry>} */
  const entries = new Map();
  /** @type {Map<string, WatchedCurve>} of the runs that are drawn */
  const data = new Map();
  /** @type {string[]} all runs, the newest first */
  let order = [];
  /** @type {number | null} of the list */
  let version = null;
  /** @type {string | null} the one looked at */
  let run = null;
  /** @type {string[]} */
  let compared = [];
  /** @type {RunState} */
  let state = {};
  let follow = true; // changes to a training that begins
  let host = false;
  let live = false;
  let hasModel = false;
  /** @type {PriorState | null} */
  let prior = null;
  let next = 0; // when to ask again
  let announced = "";
  let refusal = ""; // what the server said to the last change

  // ---- what is seen
  const select = h("select", { id: "vs-run", class: "vs-select" });
  const chip = h("span", { class: "vs-chip" });
  const facts = h("p", { class: "vs-caption" });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the training" });
  const reason = errorLine();

  /** @param {RunChange} what */
  const change = async (what) => {
    const answer = await server.change_run({ token: visitorToken(), ...what });
    next = 0;
    ask();
    return answer;
  };
  /** @param {string} text @param {() => RunChange} what */
  const actionButton = (text, what) => {
    const act = async () => {
      node.disabled = true;
      const answer = await change(what()).catch(() => ({ error: NO_ANSWER }));
      refusal = answer.error ?? "";
      draw();
    };
    const node = button(text, act, { disabled: true });
    return node;
  };
  const stop = actionButton("Stop", () => ({ run, do: "stop" }));
  const goOn = actionButton("Continue", () => ({ run, do: "continue", epochs: state.epochs }));
  const useModel = () => {
    tell("use-model", run);
    openTab("Sample");
  };
  const use = button("Sample from this model", useModel, { disabled: true });
  const curves = trainingCurves({ csv: (names) => server.curves_csv(names) });
  /** @param {{ run: string, wanted: PreviewWanted[] }} asked */
  const fetchPreviews = (asked) => server.see_previews(asked);
  const previews = trainingPreviews({ fetchPreviews });
  const list = runList({
    change,
    most: MOST,
    training: options.training,
    maxEpochs: options.max_epochs,
    colour: (name) => data.get(name)?.colour ?? "accent",
    watch: (name) => choose(name),
    compare: (name, on) => {
      const others = compared.filter((each) => each !== name);
      compared = on ? [...others, name].slice(0, MOST - 1) : others;
      next = 0;
      draw();
      ask();
    },
  });
  const after = trainingAfter({ change, fetchPreviews });
  root.classList.add("unknown"); // until the first news
  const choice = h("div", { class: "vs-run" }, h("label", { for: "vs-run" }, "Run"), select, chip);
  const actions = h("div", { class: "vs-actions" }, stop, goOn, use);
  root.append(
    h("div", { class: "vs-head" }, choice, actions),
    facts,
    bar,
    reason.node,
    after.node,
    previews.node,
    curves.node,
    list.node,
  );

  // ---- which runs are drawn: the one looked at first; each keeps its colour as long as it is drawn
  const settle = () => {
    const others = compared.filter((name) => name !== run && entries.has(name));
    const names = (run === null ? others : [run, ...others]).slice(0, MOST);
    for (const name of data.keys()) if (!names.includes(name)) data.delete(name);
    for (const name of names) {
      if (data.has(name)) continue;
      const colour = freeColour([...data.values()].map((curve) => curve.colour));
      data.set(name, { name, colour, cursor: null, more: [], steps: [], epochs: [], perEpoch: 1 });
    }
    const only = names.length === 1 ? data.get(names[0]) : null;
    if (only) only.colour = "accent";
    return names;
  };
  /** Looks at a run. @param {string} name */
  const watchRun = (name) => {
    refusal = "";
    if (name !== run) {
      if (!compared.includes(name)) compared = [];
      else if (run) compared = [...compared, run];
      run = name;
      previews.reset(run);
      curves.showAll();
    }
    next = 0;
    draw();
    ask();
  };
  /** The visitor wants to look at a run. @param {string} name */
  const choose = (name) => {
    follow = false;
    watchRun(name);
  };
  select.addEventListener("change", () => choose(select.value));

  // ---- drawing
  /** @param {RunEntry[]} all */
  const drawSelect = (all) => {
    const options = all.map(({ name, state }) => h("option", { value: name }, `${name} (${state})`));
    if (!all.length) options.push(h("option", {}, NONE));
    const texts = options.map((option) => option.textContent).join("|");
    if (select.dataset.options !== texts) {
      select.dataset.options = texts;
      select.replaceChildren(...options);
    }
    select.value = run ?? NONE;
  };
  /** @param {boolean} may whether the visitor may change the run */
  const drawActions = (may) => {
    const ended = hasStopped(state.state) && options.training;
    stop.hidden = ended;
    stop.disabled = !(live && may);
    stop.title = live && !may ? "Only whoever started this run, or the host, can stop it." : "";
    goOn.hidden = !ended;
    goOn.disabled = !may;
    goOn.title = may
      ? `Continue to epoch ${number(state.epochs)}`
      : "Only whoever started this run, or the host, can continue it.";
  };
  const draw = () => {
    const names = settle();
    if (version !== null) tell("shown", { tab: "train", run });
    const all = order.flatMap((name) => entries.get(name) ?? []);
    const looked = run === null ? undefined : data.get(run);
    curves.set([...data.values()].sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name)));
    list.set({ runs: all, chosen: run, compared: names.length > 1 ? names : compared.concat(run ?? []), host });
    drawSelect(all);
    const entry = run === null ? undefined : entries.get(run);
    drawActions(host || Boolean(entry?.mine));
    chip.textContent = state.state ?? "nothing yet";
    chip.classList.toggle("live", live);
    bar.value = state.steps ? (state.step ?? 0) / state.steps : 0;
    bar.classList.toggle("live", live);
    previews.setLive(live, Boolean(entry?.mine));
    const own = options.training && (host || Boolean(entry?.mine)) && !entry?.bundled;
    const ended = state.state !== undefined && !live;
    after.set({ run, ready: hasModel && ended, own, prior });
    const sentence = refusal || (state.state !== "finished" && state.reason) || "";
    if (reason.node.textContent !== sentence) reason.say(sentence);
    reason.node.classList.toggle("plain", !refusal && state.state === "stopped");
    facts.textContent =
      run === null
        ? "Press Start training: the handwritten digits take less than a minute."
        : trainingFacts(state, looked?.epochs.at(-1));
  };

  // ---- what is new
  /** @param {RunNews} news */
  const takeList = ({ list: { version: newest, changed, names } }) => {
    version = newest;
    for (const entry of changed) entries.set(entry.name, entry);
    if (!names) return;
    order = names;
    for (const name of entries.keys()) if (!order.includes(name)) entries.delete(name);
  };
  /** @param {RunNews} news */
  const takeCurves = (news) => {
    for (const [name, { rows, cursor, per_epoch, reset, more }] of Object.entries(news.curves)) {
      const curve = data.get(name);
      if (!curve) continue;
      if (reset) {
        curve.steps = [];
        curve.epochs = [];
        if (name === run) previews.reset(run);
      }
      curve.more = more ?? (reset ? [] : curve.more);
      const fields = rowFields(options.row_fields, curve.more);
      for (const values of rows) {
        const row = /** @type {MetricRow} */ (namedRow(fields, values));
        ("val_loss" in row ? curve.epochs : curve.steps).push(row);
      }
      curve.cursor = cursor;
      curve.perEpoch = per_epoch || 1;
    }
  };
  const ask = poll(root, TICK, async () => {
    if (Date.now() < next) return;
    const asked = run;
    const cursors = Object.fromEntries(settle().map((name) => [name, data.get(name)?.cursor]));
    const known = { page, run, follow, list: version, cursors, seen: previews.lastStep(), token: visitorToken() };
    const news = await server.watch_run(known);
    next = Date.now() + news.wait - 60;
    host = news.host;
    takeList(news);
    if (asked !== run) {
      next = 0; // another run was chosen meanwhile
      return;
    }
    if (news.run !== run) {
      run = news.run;
      compared = [];
      previews.reset(run);
      curves.showAll();
    }
    settle();
    takeCurves(news);
    state = news.state;
    const moments = news.previews.map((values) => namedRow(options.preview_fields, values));
    previews.add(/** @type {PreviewMoment[]} */ (moments), run === null ? undefined : data.get(run)?.perEpoch);
    hasModel = news.has_model;
    prior = news.prior;
    use.disabled = !hasModel;
    if (live !== isLive(state.state)) {
      refusal = "";
      live = !live;
    }
    draw();
    root.classList.remove("unknown");
    const now = `${run}|${state.state}`;
    if (announced !== now && announced && run) announce(`Training ${run}: ${state.state}.`);
    announced = now;
  });
  // Python says here which run it has just started, or a link asks for.
  const begin = () => {
    if (!props.value?.run) return;
    follow = !props.value.linked;
    watchRun(props.value.run);
    // What forms is to be seen, wherever on the page Start was pressed.
    const result = root.closest(".vs-result");
    if (!props.value.linked && result && result.getBoundingClientRect().top < 0) result.scrollIntoView();
  };
  watch("value", begin);
  draw();
  begin();
}
