// Compare: one picture through several models, in panes that show the same region of it at the same zoom. What a pane
// shows is a result of Python's run(), found by its key.

/** @import { ComparisonLink, ComparisonNews, Context, ImageValue, ModelFacts, ModelNews, StopServer } from "./types" */
/** @import { Layer, Pane, Result } from "./comparison_pane.js" */
/** @import { View } from "./comparison_view.js" */
import { addGestures } from "./comparison_gestures.js";
import { comparisonPane, layerOf } from "./comparison_pane.js";
import { areComparable, bestOf, limitsOf, mostAlike, panned, settled, zoomed } from "./comparison_view.js";
import { announce, button, context2d, h, icon, loadImage, onResize, pixelRatio, themeColour, uniqueId } from "./dom.js";
import { fileName, number } from "./format.js";
import { showShare } from "./progress.js";
import { saveAt, saveCanvas } from "./save_file.js";
import { listen, tell } from "./topics.js";

const LETTERS = "ABCDEF";
/** @type {[Layer, string][]} */
const LAYERS = [
  ["image", "Reconstruction"],
  ["original", "Original"],
  ["difference", "Difference"],
];
const STOPPED = "Stopped.";
const BUTTON_ZOOM = 1.5;
const FIRST_GAIN = 5;
const NOT_COMPARABLE =
  "These models take the picture at different sizes or in different colours, so their figures can't be compared.";

/**
 * What Python is at work on.
 *
 * @typedef {object} Run
 * @property {string} ticket
 * @property {string[]} keys of the panes that wait for it
 * @property {string} at the key of the one that is computed
 * @property {string} [what] is done
 * @property {number | null} [share] of it
 * @property {boolean} [stopped]
 */

/** @param {Context<ComparisonNews | ComparisonLink | null, StopServer, { most: number }>} context */
export default function mount({ root, props, trigger, server, watch, options }) {
  /** @type {ModelNews} */
  let news = { models: [], chosen: null, title: (model) => model.name, choose: () => {} };
  /** @type {ImageValue | null} */
  let picture = null;
  let pictureName = "";
  let turn = 0; // of the picture
  /** @type {Map<string, Result>} */
  const results = new Map();
  /** @type {Map<string, string>} */
  const errors = new Map();
  /** @type {Run | null} */
  let run = null;
  /** @type {Pane[]} */
  const panes = [];
  /** @type {Layer} */
  let layer = "image";
  let gain = FIRST_GAIN;
  /** @type {{ pane: Pane, x: number, y: number } | null} */
  let spot = null;
  /** @type {View} */
  let view = { x: 0, y: 0, zoom: 1, fitted: true };

  // ---- what each pane shows
  /** @param {string} name @returns {ModelFacts | undefined} */
  const find = (name) => news.models.find((model) => model.name === name);
  /** @param {string} name */
  const title = (name) => news.title(find(name) ?? { name });
  /** A model in training has new weights every epoch. @param {string} name */
  const stamp = (name) => `${name}@${find(name)?.epoch ?? ""}`;
  /** @param {Pane} pane */
  const keyOf = ({ encoder, decoder }) => (picture ? [turn, stamp(encoder), stamp(decoder)].join("|") : "");
  /** The models that can decode what this one encodes. @param {string} name */
  const partners = (name) => {
    const space = find(name)?.latent_space;
    return news.models.filter((model) => space && model.name !== name && model.latent_space === space);
  };
  const shown = () => panes.flatMap((pane) => pane.result ?? []);
  /** @param {Pane} pane */
  const label = ({ encoder, decoder }) =>
    decoder === encoder ? title(encoder) : `${title(encoder)} to ${title(decoder)}`;

  // ---- the region that is shown
  const limits = () => limitsOf(shown(), panes[0]?.canvas.clientWidth || 1, pixelRatio());
  /** @param {View} next */
  const setView = (next) => {
    view = next;
    const at = limits();
    if (!at) return;
    const screen = view.zoom * pixelRatio();
    meter.textContent = `${number(screen, 2)}×`;
    meter.title = `Each pixel of the picture is ${number(screen)} screen pixels wide`;
    zoomOut.disabled = fit.disabled = view.fitted;
    zoomIn.disabled = view.zoom >= at.most * 0.999;
    for (const { canvas } of panes) {
      canvas.style.touchAction = view.fitted ? "pan-y" : "none";
      canvas.classList.toggle("loose", !view.fitted);
    }
    paint();
  };
  const settle = () => {
    const at = limits();
    if (at) setView(settled(view, at));
  };
  /** @param {number} factor @param {number} [x] @param {number} [y] */
  const zoom = (factor, x, y) => {
    const at = limits();
    if (at) setView(zoomed(view, at, factor, x, y));
  };
  /** @param {number} dx @param {number} dy */
  const pan = (dx, dy) => {
    const at = limits();
    if (at) setView(panned(view, at, dx, dy));
  };
  const showAll = () => {
    view = { ...view, fitted: true };
    settle();
  };

  /** @param {Pane} pane */
  const paintPane = (pane) => pane.paint(view, layer, gain, spot && spot.pane !== pane ? spot : null);
  let paintDue = false;
  const paint = () => {
    if (paintDue) return;
    paintDue = true;
    requestAnimationFrame(() => {
      paintDue = false;
      panes.forEach(paintPane);
    });
  };

  // ---- the tools above the panes, and the buttons below
  const choices = LAYERS.map(([name, text]) => {
    const onchange = () => {
      layer = name;
      tools.classList.toggle("differing", layer === "difference");
      describe();
      paint();
    };
    const attributes = { type: "radio", name: "vs-compare-layer", value: name, checked: name === layer, onchange };
    return h("label", {}, h("input", attributes), h("span", {}, text));
  });
  const show = h("div", { class: "vs-segments", role: "radiogroup", "aria-label": "Show" }, choices);
  const gainSays = h("output");
  const brightest = h("span");
  const sayGain = () => {
    gainSays.textContent = `×${gain}`;
    brightest.textContent = `${Math.ceil(255 / gain)}+ of 255`;
  };
  sayGain();
  const setGain = () => {
    gain = Number(amplify.value);
    sayGain();
    paint();
  };
  const gainRange = { type: "range", class: "vs-scrub", min: 1, max: 10, step: 1, value: gain, oninput: setGain };
  const amplify = h("input", { ...gainRange, "aria-label": "Amplify the difference" });
  /** @param {string} text @param {string} name @param {number} factor */
  const zoomButton = (text, name, factor) =>
    button(text, () => zoom(factor), { class: "vs-button vs-square-button", "aria-label": name, title: name });
  const zoomOut = zoomButton("−", "Zoom out", 1 / BUTTON_ZOOM);
  const zoomIn = zoomButton("+", "Zoom in", BUTTON_ZOOM);
  const fit = button("Fit", showAll);
  const meter = h("output", { class: "vs-meter" }, "–");
  const zoomGroup = { class: "vs-zoom", role: "group", "aria-label": "Zoom" };
  const ramp = h("span", { class: "vs-ramp vs-grey-ramp", "aria-hidden": "true" });
  const means = "How far each colour of a pixel is off, in steps of 255";
  const legend = h("span", { class: "vs-legend", title: means }, "same", ramp, brightest);
  const tools = h(
    "div",
    { class: "vs-tools" },
    show,
    h("div", { class: "vs-gain" }, amplify, gainSays, legend),
    h("div", zoomGroup, zoomOut, meter, zoomIn, fit),
  );
  const grid = h("div", { class: "vs-panes" });
  const add = button("Add a model", () => addPane(spare()));
  const save = button([icon("download"), "Side by side"], () => savePanes());
  const remark = h("p", { class: "vs-caption" });
  root.append(tools, grid, h("div", { class: "vs-actions vs-compare-actions" }, add, save, remark));

  // ---- panes
  /** @param {string | undefined} name */
  const addPane = (name) => {
    if (panes.length >= options.most || !name) return;
    const pane = comparisonPane(name, {
      choose(model) {
        pane.suggested = false;
        pane.encoder = pane.decoder = model;
        if (pane === panes[0] && model !== news.chosen) news.choose(model);
        changed();
      },
      paired: () => changed(),
      remove() {
        panes.splice(panes.indexOf(pane), 1);
        pane.node.remove();
        changed();
        add.focus();
      },
      save: () => savePane(pane),
    });
    addGestures(pane.canvas, {
      isFitted: () => view.fitted,
      zoom,
      pan,
      fit: showAll,
      point(x, y) {
        spot = { pane, x: view.x + x / view.zoom, y: view.y + y / view.zoom };
        paint();
      },
      leave() {
        spot = null;
        paint();
      },
    });
    panes.push(pane);
    grid.append(pane.node);
    changed();
  };
  /** The models beside the first one, that a link asks for. @param {string[]} names */
  const openBeside = (names) => {
    for (const pane of panes.splice(1)) pane.node.remove();
    tell("list-models", names);
    for (const name of names) {
      addPane(name);
      panes[panes.length - 1].suggested = false;
    }
  };
  /** A model that no pane shows yet, the one most like the first pane's. */
  const spare = () => spareFor(null);
  /** @param {Pane | null} instead the pane that it is for */
  const spareFor = (instead) => {
    const others = panes.filter((pane) => pane !== instead);
    const free = news.models.filter((model) => !others.some((pane) => pane.encoder === model.name));
    const first = panes.length ? find(panes[0].encoder) : undefined;
    return mostAlike(first, free) ?? news.models[0]?.name;
  };

  /** @param {Pane} pane @param {number} i */
  const describePane = (pane, i) => {
    /** @param {ModelFacts[]} models */
    const options = (models) => models.map((model) => h("option", { value: model.name }, news.title(model)));
    pane.letter.textContent = LETTERS[i];
    pane.letter.setAttribute("aria-label", `Model ${LETTERS[i]}`);
    pane.select.replaceChildren(...options(news.models));
    pane.select.value = pane.encoder;
    const others = partners(pane.encoder);
    if (!others.some((model) => model.name === pane.decoder)) pane.decoder = pane.encoder;
    // Where one pane of a row has a second choice, all keep the room for it.
    const across = panes.length === 3 || panes.length > 4 ? 3 : 2;
    const beside = panes.filter((_, k) => Math.floor(k / across) === Math.floor(i / across));
    pane.pairing.hidden = !beside.some((each) => partners(each.encoder).length);
    pane.pairing.classList.toggle("none", !others.length);
    pane.second.replaceChildren(h("option", { value: pane.encoder }, "itself"), ...options(others));
    pane.second.value = pane.decoder;
    pane.remove.hidden = panes.length <= 2 || i === 0;
    pane.save.disabled = !pane.result;
    const seen = `${LAYERS.find(([name]) => name === layer)?.[1]} ${LETTERS[i]}, ${label(pane)}`;
    const text = pane.result
      ? `${seen}. Plus and minus zoom, arrow keys move, 0 shows all.`
      : `Pane ${LETTERS[i]}, nothing yet`;
    pane.canvas.setAttribute("aria-label", text);
  };
  const describe = () => {
    panes.forEach(describePane);
    const [first, ...others] = panes.map(({ encoder }) => encoder);
    const image = picture?.kind === "example" ? picture.name : null;
    if (picture && first) tell("shown", { tab: "compare", model: first, image, with: others.join(",") });
    const comparable = areComparable(shown());
    const best = {
      psnr: bestOf(
        panes.map((pane) => pane.result?.psnr),
        comparable,
      ),
      ssim: bestOf(
        panes.map((pane) => pane.result?.ssim),
        comparable,
      ),
    };
    for (const pane of panes) pane.drawFigures(best);
    grid.dataset.n = String(panes.length);
    add.hidden = panes.length >= options.most;
    save.disabled = !shown().length;
    remark.textContent = comparable ? "" : NOT_COMPARABLE;
  };
  /** What a pane says over its picture: that it waits, how far it is, or what went wrong. */
  const drawCovers = () => {
    for (const pane of panes) {
      const key = keyOf(pane);
      const error = errors.get(key);
      const waits = Boolean(key) && !error && !results.has(key);
      const now = waits && run?.at === key ? run : null;
      pane.cover.hidden = !error && !waits;
      pane.cover.classList.toggle("failed", Boolean(error) && error !== STOPPED);
      pane.says.textContent = error ?? (now ? now.what || "Starting" : "Waiting");
      if (error) pane.says.setAttribute("role", "alert");
      else pane.says.removeAttribute("role");
      pane.bar.hidden = !now;
      showShare(pane.bar, now?.share);
      pane.actButton.hidden = !error && !now;
      pane.actButton.textContent = error ? "Try again" : "Stop";
      pane.act = error ? () => retry(key) : stop;
    }
  };

  // ---- asking Python for what is missing, one run at a time
  const changed = () => {
    for (const pane of panes) {
      const result = results.get(keyOf(pane));
      const of = `${pane.encoder} ${pane.decoder}`;
      if (result) {
        pane.result = result;
        pane.of = of;
      } else if (pane.of !== of) pane.result = null; // that of another picture stays until it is replaced
      pane.node.classList.toggle("stale", Boolean(pane.result) && !result);
    }
    tell(
      "compare-models",
      panes.map(({ encoder }) => encoder),
    );
    describe();
    settle();
    paint();
    ask();
    drawCovers();
  };
  const ask = () => {
    const wanted = panes.filter((pane) => keyOf(pane) && !results.has(keyOf(pane)) && !errors.has(keyOf(pane)));
    if (run) {
      const { ticket, keys } = run;
      if (!wanted.some((pane) => keys.includes(keyOf(pane)))) server.stop(ticket); // nobody waits for it
      return;
    }
    if (!wanted.length || !root.offsetParent) return;
    const jobs = new Map(wanted.map((pane) => [keyOf(pane), { encoder: pane.encoder, decoder: pane.decoder }]));
    const keys = [...jobs.keys()];
    run = { ticket: uniqueId(), keys, at: keys[0] };
    trigger("run", { ticket: run.ticket, picture, panes: [...jobs].map(([key, job]) => ({ key, ...job })) });
  };
  const stop = () => {
    if (!run) return;
    run.stopped = true;
    run.what = "Stopping";
    server.stop(run.ticket);
    drawCovers();
  };
  /** @param {string} key */
  const retry = (key) => {
    errors.delete(key);
    for (const [other, error] of errors) if (error === STOPPED) errors.delete(other);
    changed();
  };
  /** @param {Run} ended */
  const finish = (ended) => {
    for (const key of ended.keys) if (ended.stopped && !results.has(key) && !errors.has(key)) errors.set(key, STOPPED);
    run = null;
    const lines = panes.map((pane, i) =>
      pane.result
        ? `${LETTERS[i]}, ${label(pane)}: PSNR ${number(pane.result.psnr)} decibels`
        : `${LETTERS[i]}: no result`,
    );
    announce(lines.join("; "));
  };
  /** @param {ComparisonNews | null} answer */
  const receive = async (answer) => {
    if (!answer || answer.ticket !== run?.ticket) return;
    const { key = "", result, error, done } = answer;
    if (result) {
      const [original, image] = await Promise.all([loadImage(result.original), loadImage(result.image)]);
      results.set(key, { ...result, original, image });
    } else if (error) errors.set(key, error);
    if (answer.ticket !== run?.ticket) return;
    if (done) finish(run);
    else if (!result && !error) {
      if (!run.stopped) Object.assign(run, { at: key, what: answer.what, share: answer.share });
      drawCovers();
      return;
    }
    changed();
  };
  let received = Promise.resolve(); // one answer after another
  watch("value", () => {
    const answer = props.value;
    if (answer && "with" in answer) {
      if (panes.length) openBeside(answer.with);
      return;
    }
    received = received.then(() => receive(answer)).catch(() => {});
  });

  // ---- files
  /** @param {Pane} pane */
  const savePane = (pane) => {
    if (!pane.result) return;
    const what = { difference: `difference-x${gain}`, image: "reconstruction", original: "original" }[layer];
    const image = layerOf(pane.result, layer, gain);
    const name = `${fileName(label(pane), pictureName, what)}.png`;
    if (image instanceof HTMLCanvasElement) saveCanvas(image, name);
    else saveAt(image.src, name);
  };
  /** The panes as they are seen now, with their names and figures below. */
  const savePanes = () => {
    spot = null;
    panes.forEach(paintPane);
    const ratio = pixelRatio();
    const side = panes[0].canvas.width;
    const gap = Math.round(12 * ratio);
    const line = Math.round(20 * ratio);
    const size = { width: panes.length * (side + gap) - gap, height: side + 3 * line };
    const canvas = h("canvas", size);
    const c = context2d(canvas);
    c.fillStyle = themeColour("card");
    c.fillRect(0, 0, size.width, size.height);
    c.textBaseline = "top";
    panes.forEach((pane, i) => {
      const left = i * (side + gap);
      c.drawImage(pane.canvas, left, 0);
      c.fillStyle = themeColour("text");
      c.font = `600 ${14 * ratio}px system-ui, sans-serif`;
      c.fillText(label(pane), left, side + line * 0.5, side);
      if (!pane.result) return;
      c.font = `${13 * ratio}px system-ui, sans-serif`;
      c.fillStyle = themeColour("muted");
      const what = { image: "", original: ", original", difference: `, difference ×${gain}` }[layer];
      const figures = `${number(pane.result.psnr)} dB, SSIM ${number(pane.result.ssim)}${what}`;
      c.fillText(figures, left, side + line * 1.6, side);
    });
    saveCanvas(canvas, `${fileName(panes.map(label).join(" beside "), pictureName)}.png`);
  };

  // ---- what is chosen elsewhere on the page
  listen("compare-picture", (/** @type {{ value: ImageValue, label: string }} */ { value, label: name }) => {
    picture = value;
    pictureName = name.replace(/\.\w+$/, "");
    turn += 1;
    results.clear();
    errors.clear();
    view = { ...view, fitted: true };
    changed();
  });
  listen("models", (/** @type {ModelNews} */ latest) => {
    const before = news.chosen;
    news = latest;
    const { chosen } = news;
    if (chosen && !panes.length) {
      addPane(chosen);
      if (props.value && "with" in props.value) openBeside(props.value.with);
      else if (news.models.length > 1) addPane(spare());
    } else if (chosen && chosen !== before && panes[0].encoder !== chosen) {
      const [first] = panes;
      const twin = panes.find((pane) => pane.encoder === chosen);
      if (twin) twin.encoder = twin.decoder = first.encoder;
      first.encoder = first.decoder = chosen;
      for (const pane of panes.slice(1))
        if (pane.suggested) pane.encoder = pane.decoder = spareFor(pane) ?? pane.encoder;
    }
    changed();
  });
  onResize(root, () => {
    settle();
    ask();
    drawCovers();
  });
  new IntersectionObserver(() => {
    ask();
    drawCovers();
  }).observe(root);
}
