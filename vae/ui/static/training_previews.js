// A slider over a run's previews: what the model drew after each epoch. What was fetched once is kept; the rest is
// fetched when it is needed.

/** @import { PreviewMoment, PreviewWanted } from "./types" */
import { button, context2d, h, icon, loadImage, onResize, showPlaying } from "./dom.js";
import { number, plural } from "./format.js";
import { enlargement } from "./pixel_scale.js";
import { KINDS, nextPreviews, previewKey, wantedOf, withMore } from "./preview_order.js";

const TITLES = ["Samples from noise", "Originals and reconstructions"]; // of KINDS
const AT_ONCE = 12; // images in one answer
const IDLE_RATE = 1500; // bytes a second for images nobody asked for
const WATCHED_RATE = 3500; // of a training that runs
const OWN_RATE = 15_000; // of one's own, whose images are what one waits for
const RETRY = 3000; // ms
const FRAME = 120; // ms, while the training is played
const MOST = 4; // times that an image is enlarged

/** @typedef {{ uri: string, image: HTMLImageElement }} Preview */

/** An image that is shown. @param {string} kind @param {string} title */
export function previewView(kind, title) {
  const canvas = h("canvas", { class: "crisp", role: "img", width: 1, height: 1 });
  const save = h("a", { class: "vs-link", hidden: true }, "PNG");
  const frame = h("div", { class: "vs-preview-frame empty" }, canvas);
  const node = h("figure", { class: "vs-preview" }, h("figcaption", {}, h("strong", {}, title), save), frame);
  /** @type {HTMLImageElement | null} */
  let shown = null;
  const lay = onResize(frame, () => {
    if (!shown) return;
    const width = shown.naturalWidth;
    canvas.style.width = `${width * Math.min(enlargement(width, frame.clientWidth), MOST)}px`;
  });
  return {
    kind,
    node,
    clear() {
      shown = null;
      save.hidden = true;
      canvas.width = canvas.height = 1;
      frame.classList.add("empty");
    },
    /** @param {Preview} preview @param {string} when @param {string} name of the file */
    show({ uri, image }, when, name) {
      if (shown === image) return;
      shown = image;
      canvas.width = image.naturalWidth;
      canvas.height = image.naturalHeight;
      context2d(canvas).drawImage(image, 0, 0);
      frame.classList.remove("empty");
      lay();
      canvas.setAttribute("aria-label", `${title} ${when}`);
      save.hidden = false;
      save.href = uri;
      save.download = name;
    },
  };
}

/**
 * @param {object} options
 * @param {(asked: { run: string, wanted: PreviewWanted[] }) => Promise<Record<string, string>>} options.fetchPreviews
 */
export function trainingPreviews({ fetchPreviews }) {
  const slider = h("input", {
    type: "range",
    class: "vs-scrub",
    min: 0,
    max: 0,
    value: 0,
    disabled: true,
    "aria-label": "Moment of the training",
  });
  const when = h("output", { class: "vs-when" });
  const playAttributes = { class: "vs-button small vs-play", disabled: true, "aria-label": "Play the training" };
  const play = button(icon("play"), () => (timer ? halt() : start()), playAttributes);
  const views = KINDS.map((kind, i) => previewView(kind, TITLES[i]));
  const says = h("small");
  const title = h("h3", {}, "Flipbook", says);
  const row = h("div", { class: "vs-time-row" }, title, play, slider, when);
  const previews = h(
    "div",
    { class: "vs-previews" },
    views.map((view) => view.node),
  );
  const node = h("section", { class: "vs-time", "aria-label": "Flipbook of the training" }, row, previews);

  /** @type {string | null} */
  let run = null;
  /** @type {PreviewMoment[]} */
  let moments = [];
  /** @type {Map<string, Preview>} */
  let fetched = new Map();
  /** @type {Set<string>} */
  let missing = new Set(); // what the server no longer has
  let perEpoch = 1;
  let at = -1;
  let followsNewest = true;
  let ahead = false; // whether all are fetched, since the slider was touched
  let busy = false;
  let next = 0; // when the newest may be fetched again, to spare those who only watch
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  let live = false;
  let own = false;

  /** @param {string} key */
  const known = (key) => fetched.has(key) || missing.has(key);
  /** @param {PreviewMoment} moment */
  const describe = ({ step }) => (step === 0 ? "before training" : `after epoch ${number(step / perEpoch)}`);

  const draw = () => {
    const moment = moments[at];
    slider.disabled = play.disabled = moments.length < 2;
    slider.max = String(Math.max(0, moments.length - 1));
    slider.value = String(Math.max(0, at));
    when.textContent = moment ? describe(moment) : "";
    const pages = plural(moments.length, "page");
    says.textContent = live ? `what it draws as it learns, ${pages} so far` : `what it drew as it learned, ${pages}`;
    slider.setAttribute("aria-valuetext", moment ? describe(moment) : "no preview yet");
    if (!moment) return;
    for (const view of views) {
      const preview = fetched.get(previewKey(view.kind, moment.step));
      if (preview) view.show(preview, describe(moment), `${run}-${view.kind}-step-${moment.step}.png`);
    }
  };

  /** Fetches one answer's worth of previews. @param {string} asked the run @param {PreviewWanted[]} wanted */
  const fetchSome = async (asked, wanted) => {
    const found = Object.entries(await fetchPreviews({ run: asked, wanted }));
    /** @type {[string, Preview][]} */
    const loaded = await Promise.all(found.map(async ([key, uri]) => [key, { uri, image: await loadImage(uri) }]));
    if (asked !== run) return;
    for (const [key, preview] of loaded) fetched.set(key, preview);
    for (const each of wanted) if (!fetched.has(previewKey(...each))) missing.add(previewKey(...each));
    const bytes = found.reduce((sum, [, uri]) => sum + uri.length, 0);
    const rate = !live ? IDLE_RATE : own ? OWN_RATE : WATCHED_RATE;
    next = Date.now() + (bytes / rate) * 1000;
    draw();
  };
  const pump = async () => {
    if (busy || !run) return;
    const asked = run;
    const hurry = !followsNewest || Date.now() >= next;
    const wanted = nextPreviews(moments, { at, hurry, ahead, most: AT_ONCE }, known);
    if (!wanted.length) return;
    busy = true;
    try {
      await fetchSome(asked, wanted);
    } catch {
      next = Date.now() + RETRY; // the server is away: the next tick tries again
      ahead = false;
      busy = false;
      return;
    }
    busy = false;
    if (ahead || !followsNewest || asked !== run) pump();
  };
  /** @param {number} index */
  const go = (index) => {
    at = index;
    followsNewest = index === moments.length - 1;
    draw();
    pump();
  };
  const halt = () => {
    clearInterval(timer);
    timer = undefined;
    showPlaying(play, false, "Play the training");
  };
  const start = () => {
    ahead = true;
    go(at >= moments.length - 1 ? 0 : at);
    showPlaying(play, true, "Play the training");
    timer = setInterval(() => {
      if (!node.offsetParent || at >= moments.length - 1) halt();
      else if (wantedOf(moments[at + 1], known).length) pump();
      else go(at + 1);
    }, FRAME);
  };
  const fetchAll = () => {
    ahead = true;
    pump();
  };
  slider.addEventListener("pointerdown", () => {
    halt();
    fetchAll();
  });
  slider.addEventListener("focus", fetchAll);
  slider.addEventListener("input", () => {
    halt();
    go(Number(slider.value));
  });

  return {
    node,
    /** Begins anew, with another run or with the same. @param {string | null} name */
    reset(name) {
      halt();
      run = name;
      moments = [];
      fetched = new Map();
      missing = new Set();
      at = -1;
      followsNewest = true;
      ahead = false;
      next = 0;
      for (const view of views) view.clear();
      draw();
    },
    /** @param {PreviewMoment[]} more @param {number | undefined} stepsPerEpoch */
    add(more, stepsPerEpoch) {
      perEpoch = stepsPerEpoch || 1;
      moments = withMore(moments, more);
      if (followsNewest) at = moments.length - 1;
      draw();
      pump();
    },
    /** @param {boolean} is whether the run trains now @param {boolean} mine whether the visitor started it */
    setLive(is, mine) {
      own = mine;
      if (is === live) return;
      live = is;
      draw();
    },
    lastStep: () => moments.at(-1)?.step ?? -1,
  };
}
