// Compare, below the panes: a whole folder measured, and what the models bear. Each part is a fold; its module is
// fetched when it is first opened. One thing is computed at a time, for the models that the panes show.

/** @import { BenchNews, BenchServer, Context, ImageValue, ModelFacts, ModelNews, Upload } from "./types" */
import { h, NO_ANSWER, uniqueId } from "./dom.js";
import { listen } from "./topics.js";

/** What a part knows of the page, and does there. */
export class Bench {
  /** @type {ImageValue | null} */
  picture = null;
  /** @type {string[]} the models of the panes */
  models = [];
  /** @type {ModelNews} */
  news = { models: [], chosen: null, title: (model) => model.name, choose: () => {} };
  /** @type {(() => void)[]} are called when one of these has changed, or work begins or ends */
  listeners = [];
  /** @type {{ ticket: string, receive: (news: BenchNews) => void } | null} */
  run = null;

  /** @param {Context<BenchNews | null, BenchServer>} context */
  constructor({ server, upload, trigger }) {
    this.server = server;
    /** @type {Upload} */
    this.upload = upload;
    this.trigger = trigger;
  }
  /** @param {string} name */
  title = (name) => this.news.title(this.facts(name) ?? { name });
  /** @param {string} name @returns {ModelFacts | undefined} */
  facts = (name) => this.news.models.find((model) => model.name === name);
  changed = () => {
    for (const listener of this.listeners) listener();
  };
  /** Has Python do it. @param {object} asked @param {(news: BenchNews) => void} receive is told until it is done */
  start = (asked, receive) => {
    const ticket = uniqueId();
    this.run = { ticket, receive };
    this.trigger("work", { ...asked, ticket });
    this.changed();
  };
  stop = () => {
    if (this.run) this.server.stop(this.run.ticket).catch(() => {});
  };
  /** @param {BenchNews | null} answer */
  answered = (answer) => {
    const run = this.run;
    if (!run || answer?.ticket !== run.ticket) return;
    if (answer.done) this.run = null;
    run.receive(answer);
    if (answer.done) this.changed();
  };
}

/** @typedef {{ default: (root: HTMLElement, bench: Bench) => void }} Part */
/** @type {{ title: string, says: string, load: () => Promise<Part> }[]} */
const PARTS = [
  {
    title: "Measure a whole folder",
    says: "The models above on every image of a folder, a data set or an archive of yours, the worst images first.",
    load: () => import("./folder_measure.js"),
  },
  {
    title: "Stress test",
    says: "What the models above bear: round trips, coarser numbers, latents turned, made smaller, or noisy.",
    load: () => import("./stress_test.js"),
  },
];

/** @param {Context<BenchNews | null, BenchServer>} context */
export default function mount(context) {
  const { root, props, watch } = context;
  const bench = new Bench(context);
  const style = { rel: "stylesheet", href: new URL("./bench.css", import.meta.url).href };
  document.head.append(h("link", style));
  for (const { title, says, load } of PARTS) {
    const place = h("div", { class: "vs-bench-part" });
    let loaded = false;
    const ontoggle = async () => {
      if (loaded || !fold.open) return;
      loaded = true;
      try {
        (await load()).default(place, bench);
      } catch {
        loaded = false;
        place.textContent = NO_ANSWER;
      }
    };
    const summary = h("summary", {}, h("strong", {}, title), h("span", { class: "vs-caption" }, says));
    const fold = h("details", { class: "vs-bench", ontoggle }, summary, place);
    root.append(fold);
  }
  listen("compare-picture", (/** @type {{ value: ImageValue }} */ { value }) => {
    bench.picture = value;
    bench.changed();
  });
  listen("compare-models", (/** @type {string[]} */ models) => {
    bench.models = models;
    bench.changed();
  });
  listen("models", (/** @type {ModelNews} */ news) => {
    bench.news = news;
    bench.changed();
  });
  watch("value", () => bench.answered(props.value));
}
