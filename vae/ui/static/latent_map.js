// One model's latent space: its map, what the decoder draws at a place on it, sliders over the most active numbers of
// the latent, and all of them as bars. Images come from the server as one moves, one answer at a time.

/** @import { LatentLook, LatentServer, LatentSpace, MapName, MapPrior } from "./types" */
/** @import { Place } from "./map_geometry.js" */
/** @import { IconName } from "./dom.js" */
import { barChart } from "./bar_chart.js";
import { announce, button, context2d, errorLine, h, icon, NO_ANSWER } from "./dom.js";
import { fileName, number, shortName, twoDecimals, withArticle } from "./format.js";
import { cellOf } from "./geometry.js";
import { classMark, unpackFloats } from "./map_geometry.js";
import { newestFirst, projector } from "./newest_first.js";
import { enlargement, isSmall } from "./pixel_scale.js";
import { saveAt } from "./save_file.js";
import { scatterPlot } from "./scatter_plot.js";

const ROOM = 144; // CSS pixels for an image beside a map
const BORDER = 9; // a narrower border around the images of the data set is drawn around them
const SLIDER_STEPS = 240;
const SPEECH = 500; // ms, so that not every step of the keyboard is spoken
const MEAN = "the mean";

/**
 * What the images under the map are of: the last chosen place.
 *
 * @typedef {LatentLook & { says: string }} Base
 */

/**
 * @typedef {object} LookWish
 * @property {boolean} [keep] whether it is a choice
 * @property {boolean} [slid] whether a slider was moved
 * @property {string | null} [says] what is chosen, in words
 * @property {() => object} request
 */

/** What the numbers on a map stand for, where classes have long names. @param {string[] | null} classes */
function legendOf(classes) {
  if (!classes || classes.every((name, i) => classMark(classes, i) === name)) return null;
  const entries = classes.map((name, i) => {
    const style = `--swatch: var(--vs-class-${i % 10})`;
    return h("li", { style }, h("b", {}, classMark(classes, i)), name);
  });
  return h("ul", { class: "vs-legend-list" }, entries);
}

/**
 * @param {LatentSpace} facts
 * @param {object} page
 * @param {LatentServer} page.server
 * @param {(what: object) => void} page.send to another tab
 * @param {(i: number | null) => void} page.hovered over a point
 */
export function latentMap(facts, { server, send, hovered }) {
  const { name, classes, labels, side, variational } = facts;
  const title = shortName(name, 1);
  const kind = variational ? "Variational auto-encoder" : "Auto-encoder";
  const error = errorLine();
  const note = h("p", { class: "vs-caption" });

  /** @type {MapName | null} */
  let map = null;
  /** @type {Map<string, { points: Float32Array, prior: MapPrior }>} */
  const knownMaps = new Map();
  /** @type {Base | null} */
  let base = null;
  let hovering = false;
  /** @type {HTMLImageElement | null} */
  let sheet = null;
  /** @type {number | null} the point that is read */
  let near = null;
  /** @type {Place[]} where the pointer went since the last request */
  let path = [];
  /** @type {Record<number, number>[]} how sliders were moved since then */
  let turns = [];
  let mapTurn = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let speech;

  // ---- points in words
  /** @param {number} i */
  const className = (i) => (labels && classes ? classes[labels[i]] : null);
  /** @param {number} i */
  const pictureName = (i) => {
    const of = className(i);
    return `picture ${Math.floor((i * facts.images) / facts.n) + 1}${of === null ? "" : ` (${of})`}`;
  };

  // ---- the two images
  const painted = h("img", { class: "vs-painted", alt: "" });
  const paintedSays = h("span");
  // With the border that the model sees around it, so that the two can be compared.
  const border = facts.image_size - side < BORDER ? Math.max(0, facts.image_size - side) / 2 : 0;
  const seen = h("canvas", { width: side + 2 * border, height: side + 2 * border, role: "img" });
  const seenSays = h("span");
  /** @param {HTMLElement} node @param {number} size in its pixels */
  const sized = (node, size) => {
    node.style.width = node.style.height = `${size * enlargement(size, ROOM)}px`;
    node.classList.toggle("crisp", isSmall(size));
    return node;
  };

  /** Shows the picture of a point, from the sheet of all. @param {number | null} i */
  const read = (i) => {
    near = i;
    if (i === null) return;
    const of = className(i);
    seenSays.textContent = of === null ? pictureName(i) : withArticle(of);
    seen.setAttribute("aria-label", `The nearest picture of the ${facts.split} set: ${pictureName(i)}`);
    if (!sheet) return;
    const c = context2d(seen);
    const [x, y] = cellOf(i, { columns: facts.columns, width: side, height: side });
    c.fillRect(0, 0, seen.width, seen.height);
    c.drawImage(sheet, x, y, side, side, border, border, side, side);
  };
  const film = projector((/** @type {string} */ uri) => {
    painted.src = uri;
  }, facts.steps);
  /** @param {string} where */
  const caption = (where) => {
    painted.alt = `What ${title} decodes at ${where}`;
    paintedSays.textContent = where;
  };
  /** Back from the pointer to what was chosen. */
  const rest = () => {
    film.stop();
    if (!base) return;
    painted.src = base.pictures[base.pictures.length - 1];
    caption(base.says);
  };

  // ---- what the server is asked for
  /** @param {Base} news @param {LookWish} wish */
  const showChoice = (news, { slid, says }) => {
    base = news;
    scatter.setBase(base.place);
    if (!hovering) read(scatter.nearest(base.place));
    caption(base.says);
    if (slid) return;
    film.stop();
    sliders.forEach((slider, i) => {
      slider.set(news.values[i]);
    });
    if (says && says !== MEAN) announce(`Chosen: ${says}.`);
  };
  /** @type {(wish: LookWish) => Promise<void>} */
  const wish = newestFirst({
    /** @param {object} request @returns {Promise<LatentLook | { error: string }>} */
    ask: (request) => server.latent_space_look(request).catch(() => ({ error: NO_ANSWER })),
    waiting: (late) => pictures.classList.toggle("late", late),
    show(answer, /** @type {LookWish} */ asked) {
      error.say(answer.error);
      if (!("pictures" in answer)) return;
      if (asked.keep) showChoice({ ...answer, says: asked.says ?? base?.says ?? MEAN }, asked);
      else if (hovering) caption("this place");
      else return;
      film.play(answer.pictures);
    },
  });
  /** @param {object} what */
  const request = (what) => ({ model: name, map, ...what });
  /** Chooses what is decoded. @param {string | null} says @param {() => object} from */
  const choose = (says, from) => {
    path = []; // these began elsewhere
    turns = [];
    clearTimeout(speech);
    wish({ keep: true, says, request: () => request(from()) });
  };
  /** Asks for the images on the way to a place. @param {Place} place */
  const follow = (place) => {
    path = [...path, place].slice(-facts.steps);
    const ask = () => {
      const asked = request({ z: base?.z, to: path });
      path = [];
      return asked;
    };
    wish({ request: ask });
  };
  /** @param {number | null} i */
  const announcePoint = (i) => {
    clearTimeout(speech);
    speech = setTimeout(() => announce(i === null ? "" : `Nearest: ${pictureName(i)}`), SPEECH);
  };

  const scatter = scatterPlot({
    label: `Map of ${title}. Arrow keys move over it and the decoder draws what is there; Enter chooses the place.`,
    moved(place, nearest, keyboard) {
      hovering = place !== null;
      const i = nearest ?? (base ? scatter.nearest(base.place) : null);
      read(i);
      hovered(hovering ? i : null);
      if (place === null) {
        rest();
        return;
      }
      follow(place);
      if (keyboard) announcePoint(i);
    },
    chosen(place, i) {
      if (i === null) choose("a place", () => ({ z: base?.z, to: [place] }));
      else choose(pictureName(i), () => ({ at: i }));
    },
  });

  // ---- one latent number at a time
  const sliders = facts.sliders.map(({ dim, low, high, mean }) => {
    const steps = { min: low, max: high, step: (high - low) / SLIDER_STEPS, value: mean };
    const label = `Latent dimension ${dim} of ${title}`;
    const id = `vs-dim-${title}-${dim}`;
    const input = h("input", { type: "range", class: "vs-scrub", ...steps, id, "aria-label": label });
    const output = h("output");
    /** @param {number} value */
    const set = (value) => {
      input.value = String(value);
      output.textContent = twoDecimals(value);
    };
    input.addEventListener("input", () => {
      const value = Number(input.value);
      set(value);
      turns = [...turns, { [dim]: value }];
      if (turns.length > facts.steps) turns.splice(0, 2, { ...turns[0], ...turns[1] });
      const from = base?.says ?? MEAN;
      const says = from.endsWith("changed") ? from : `${from}, changed`;
      const ask = () => {
        const asked = request({ z: base?.z, set: turns });
        turns = [];
        return asked;
      };
      wish({ keep: true, slid: true, says, request: ask });
    });
    set(mean);
    return {
      set,
      node: h("div", { class: "vs-dim" }, h("span", { "aria-hidden": "true" }, String(dim)), input, output),
    };
  });

  // ---- what can be done with what was decoded
  /** @param {string} to */
  const sendTo = (to) => () => {
    if (!base) return;
    const uri = base.pictures[base.pictures.length - 1];
    send({ to, model: name, z: base.z, uri, label: `${base.says} in ${title}` });
  };
  const save = () => {
    if (base) saveAt(base.pictures[base.pictures.length - 1], `${fileName(title, base.says)}.png`);
  };
  /** @param {string} text @param {() => void} action @param {IconName} [symbol] */
  const smallButton = (text, action, symbol) =>
    button([symbol ? icon(symbol) : null, text], action, { class: "vs-button small" });
  const actions = h(
    "div",
    { class: "vs-space-actions" },
    smallButton("Interpolate: A", sendTo("a")),
    smallButton("Interpolate: B", sendTo("b")),
    smallButton("PNG", save, "download"),
    smallButton("Back to the mean", () => choose(MEAN, () => ({}))),
  );
  /** @param {HTMLElement} image @param {string} word @param {HTMLElement} says */
  const figure = (image, word, says) => h("figure", {}, image, h("figcaption", {}, h("strong", {}, word), says));
  const pictures = h(
    "div",
    { class: "vs-here" },
    figure(sized(painted, facts.image_size), "Decoded", paintedSays),
    figure(sized(seen, seen.width), "Nearest picture", seenSays),
    actions,
  );

  // ---- which map
  const pair = facts.first.map((dim, k) =>
    h("input", {
      type: "number",
      class: "vs-number",
      min: 0,
      max: facts.dims - 1,
      step: 1,
      value: dim,
      "aria-label": `Latent dimension ${k ? "up" : "across"}, ${title}`,
      onchange: () => showMap("dims"),
    }),
  );
  const choice = h("span", { class: "vs-pair", hidden: true }, pair[0], "across,", pair[1], "up");

  /** @param {MapName} wanted @returns {Promise<{ error: string } | { points: Float32Array, prior: MapPrior }>} */
  const fetchMap = async (wanted) => {
    const known = knownMaps.get(String(wanted));
    if (known) return known;
    const answer = await server.latent_space_map({ model: name, map: wanted }).catch(() => ({ error: NO_ANSWER }));
    if (answer.error !== undefined || !("points" in answer)) return { error: answer.error ?? NO_ANSWER };
    const found = { points: unpackFloats(answer.points), prior: answer.prior };
    knownMaps.set(String(wanted), found);
    return found;
  };
  /** @param {string} wanted "lda", "pca" or "dims" */
  const showMap = async (wanted) => {
    const here = facts.maps.includes(wanted) ? wanted : facts.maps[0];
    choice.hidden = here !== "dims";
    /** @type {MapName} */
    const next = here === "dims" ? [Number(pair[0].value), Number(pair[1].value)] : here;
    const mine = ++mapTurn;
    const found = await fetchMap(next);
    if (mine !== mapTurn) return; // another map was chosen meanwhile
    error.say("error" in found ? found.error : null);
    if ("error" in found) return;
    map = next;
    hovering = false;
    const fits = scatter.set({ ...found, labels, classes });
    const lacking = here === wanted ? "" : "No map by class here: that takes three classes or more. ";
    const inside = "Inside the dashed line: 95% of the draws from N(0, I).";
    note.textContent = lacking + (fits ? inside : "Most draws from N(0, I) land far outside this map.");
    choose(base ? null : MEAN, () => ({ z: base?.z }));
  };

  const total = `${number(facts.active)} of ${number(facts.dims)} numbers are active (dotted)`;
  const bars = barChart({
    title: variational ? "Information in each number" : "Spread of each number",
    term: variational ? "KL per dimension" : "std; a plain auto-encoder has no KL",
    label: `The ${facts.bars.length} largest of ${facts.dims} latent dimensions of ${title}; arrow keys read them`,
    bars: facts.bars.map((bar) => ({ ...bar, value: variational ? bar.kl : bar.std })),
    total: variational ? `${total}, ${number(facts.kl)} nats in all` : total,
    describe({ dim, kl, std, active }) {
      const carries = variational ? `KL ${number(kl)} nats, ` : "";
      return `number ${dim}: ${carries}std ${number(std)}, ${active ? "active" : "inactive"}`;
    },
  });

  const turning = h("h4", {}, "Change one latent number", h("small", {}, "the most active ones, ±3 σ"));
  const dims = h(
    "div",
    { class: "vs-dims" },
    sliders.map((slider) => slider.node),
  );
  const node = h(
    "section",
    { class: "vs-space", "aria-label": `${kind} ${title}` },
    h("h3", {}, kind, h("small", {}, title)),
    h(
      "div",
      { class: "vs-map-side" },
      scatter.node,
      h("div", { class: "vs-map-note" }, note, choice),
      legendOf(classes),
    ),
    h("div", { class: "vs-here-side" }, pictures, error.node, turning, dims, bars.node),
  );
  return {
    node,
    facts,
    showMap,
    setRing: scatter.setRing,
    draw() {
      scatter.draw();
      bars.draw();
    },
    /** @param {HTMLImageElement} image all pictures of the data set on one sheet */
    setSheet(image) {
      sheet = image;
      read(near);
    },
  };
}
