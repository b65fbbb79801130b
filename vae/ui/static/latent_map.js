// One model's latent space: its map, what the decoder draws at a place on it, the nearest images, what makes it more
// like others, sliders over the most active numbers of the latent, and all of them as bars. Images come from the server
// as one moves, one answer at a time.

/** @import { ImageSet, LatentLook, LatentServer, LatentSpace, MapName } from "./types" */
/** @import { Place } from "./map_geometry.js" */
/** @import { How } from "./scatter_plot.js" */
/** @import { IconName } from "./dom.js" */
import { announce, button, errorLine, h, icon, NO_ANSWER } from "./dom.js";
import { fileName, plural, shortName } from "./format.js";
import { latentBars } from "./latent_bars.js";
import { ALL, latentDirection } from "./latent_direction.js";
import { latentPictures } from "./latent_pictures.js";
import { latentSelection } from "./latent_selection.js";
import { latentSliders } from "./latent_sliders.js";
import { mapChoice } from "./map_choice.js";
import { classMark } from "./map_geometry.js";
import { mapLens } from "./map_lens.js";
import { mapTools } from "./map_tools.js";
import { mapTour, tourStops } from "./map_tour.js";
import { newestFirst } from "./newest_first.js";
import { saveAt } from "./save_file.js";
import { scatterPlot } from "./scatter_plot.js";
import { sheetImages } from "./sheet_images.js";

const SPEECH = 500; // ms, so that not every step of the keyboard is spoken
const MEAN = "the mean";
const NARROW = "(max-width: 640px)";

/**
 * What the images under the map are of: the last chosen place.
 *
 * @typedef {LatentLook & { says: string }} Base
 */

/**
 * @typedef {object} LookWish
 * @property {boolean} [keep] whether it is a choice
 * @property {"dims" | "along"} [slid] which slider was moved, if one was
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
 * @param {(i: number | null) => void} page.hovered the image nearest to what one looks at
 * @param {() => void} page.touched the visitor did something
 */
export function latentMap(facts, { server, send, hovered, touched }) {
  const { name, classes, labels, variational } = facts;
  const title = shortName(name, 1);
  const kind = variational ? "Variational auto-encoder" : "Auto-encoder";
  const error = errorLine();
  const note = h("p", { class: "vs-caption" });

  /** @type {MapName | null} */
  let map = null;
  /** @type {Base | null} */
  let base = null;
  /** @type {Base | null} where the way that the direction's slider goes began */
  let origin = null;
  let hovering = false;
  let choosing = false;
  let nearest = 0; // of the points, to what is decoded
  /** @type {Place[]} where the pointer went since the last request */
  let path = [];
  /** @type {Record<number, number>[]} how sliders were moved since then */
  let turns = [];
  /** @type {number[]} and the one that goes along a direction */
  let shares = [];
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

  // ---- the images
  const sheet = sheetImages(facts);
  const pictures = latentPictures(facts, {
    title,
    nameOf: pictureName,
    classOf: className,
    thumbnail: sheet.thumbnail,
    painted: (uri) => lens.show(uri),
  });
  const { paint, film, caption } = pictures;
  /** Shows the images nearest to what is decoded, and where they are. @param {number[]} points */
  const read = (points) => {
    pictures.read(points);
    scatter.setRings(points);
    nearest = points[0];
    if (!tour.isRunning()) hovered(hovering ? nearest : null);
  };
  /** @param {Base} what */
  const lastOf = (what) => what.pictures[what.pictures.length - 1];
  /** Back from the pointer to what was chosen. */
  const rest = () => {
    film.stop();
    lens.move(null);
    if (!base || choosing) return;
    paint(lastOf(base));
    caption(base.says);
    read(base.nearest);
  };

  // ---- what the server is asked for
  /** @param {Base} news @param {LookWish} wish */
  const showChoice = (news, { slid, says }) => {
    base = news;
    choosing = false;
    scatter.setBase(base.place);
    caption(base.says);
    read(base.nearest);
    if (slid !== "along") {
      origin = null;
      direction.reset();
    }
    if (slid !== "dims") sliders.set(news.values);
    if (slid) return;
    film.stop();
    if (says && says !== MEAN) announce(`Chosen: ${says}.`);
  };
  /** @type {(wish: LookWish) => Promise<void>} */
  const wish = newestFirst({
    /** @param {object} request @returns {Promise<LatentLook | { error: string }>} */
    ask: (request) => server.latent_space_look(request).catch(() => ({ error: NO_ANSWER })),
    waiting: (late) => node.classList.toggle("late", late),
    show(answer, /** @type {LookWish} */ asked) {
      error.say(answer.error);
      if (!("pictures" in answer)) {
        choosing = false;
        return;
      }
      if (asked.keep) showChoice({ ...answer, says: asked.says ?? base?.says ?? MEAN }, asked);
      else if (hovering) {
        caption("this place");
        read(answer.nearest);
      } else return;
      film.play(answer.pictures);
    },
  });
  /** @param {object} what */
  const request = (what) => ({ model: name, map, ...what });
  /** Chooses what is decoded. @param {string | null} says @param {() => object} from */
  const choose = (says, from) => {
    path = []; // these began elsewhere
    turns = [];
    shares = [];
    clearTimeout(speech);
    choosing = true;
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
  /** Says which image is nearest, once one has come to rest. */
  const announceNearest = () => {
    clearTimeout(speech);
    speech = setTimeout(() => announce(`Nearest: ${pictureName(nearest)}`), SPEECH);
  };

  // ---- the map
  const scatter = scatterPlot({
    label:
      `Map of ${title}. Arrow keys move over it and the decoder draws what is there; ` +
      "Enter chooses the place, plus and minus zoom, 0 shows all.",
    /** @param {Place | null} place @param {How} how */
    moved(place, how) {
      hovering = place !== null;
      touched();
      if (place === null) {
        rest();
        return;
      }
      lens.move(scatter.toPixel(place), how);
      follow(place);
      if (how === "keyboard") announceNearest();
    },
    chosen(place, i) {
      if (i === null) choose("a place", () => ({ z: base?.z, to: [place] }));
      else choose(pictureName(i), () => ({ at: i }));
    },
    selected: (points) => selection.set(points),
    picked: (i) => selection.toggle(i),
    viewed: () => tools.setWhole(scatter.isWhole()),
  });
  const frame = h("div", { class: "vs-scatter-frame" }, scatter.node);
  const lens = mapLens(frame, facts.image_size);

  const tools = mapTools({
    selecting(on) {
      touched();
      scatter.setSelecting(on);
      selection.setSelecting(on);
    },
    zoom: scatter.zoom,
    fit: scatter.fit,
    toggleTour: () => (tour.isRunning() ? touched() : tour.start()),
  });

  // ---- at rest
  const tour = mapTour({
    node: frame,
    batch: facts.steps,
    async ask(to) {
      const answer = await server.latent_space_look(request({ z: base?.z, to })).catch(() => null);
      return answer?.pictures ? answer.pictures.map((uri) => ({ uri, nearest: answer.nearest })) : null;
    },
    show(place, { uri, nearest }) {
      scatter.setPlace(place);
      lens.move(scatter.toPixel(place), "tour");
      paint(uri);
      caption("a tour of the map");
      read(nearest);
    },
    changed(running) {
      tools.setTour(running);
      if (running || hovering) return;
      scatter.setPlace(null);
      rest();
    },
  });

  // ---- sets of images, and the ways between them
  /** @param {ImageSet} of @param {string} says */
  const goToMean = (of, says) => choose(says, () => (of ? { of } : {}));
  const direction = latentDirection({
    title,
    classes: labels && classes,
    goTo: (of, says) => {
      touched();
      goToMean(of, says === ALL ? MEAN : `the mean of ${says}`);
    },
    turned: () => {
      origin = null;
    },
    moved(share, to, from, says) {
      touched();
      origin ??= base;
      const start = origin;
      shares = [...shares, share].slice(-facts.steps);
      const ask = () => {
        const asked = request({ z: start?.z, along: { to, from, by: shares } });
        shares = [];
        return asked;
      };
      wish({ keep: true, slid: "along", says: `${start?.says ?? MEAN}, ${says}`, request: ask });
    },
  });
  const selection = latentSelection({
    nameOf: pictureName,
    classOf: className,
    thumbnail: sheet.thumbnail,
    keep: direction.setOwn,
    changed(points) {
      scatter.setSelected(points);
      if (points.length) goToMean({ points }, `the mean of ${plural(points.length, "picture")}`);
    },
  });
  const sliders = latentSliders(facts.sliders, title, (dim, value) => {
    touched();
    turns = [...turns, { [dim]: value }];
    if (turns.length > facts.steps) turns.splice(0, 2, { ...turns[0], ...turns[1] });
    const from = base?.says ?? MEAN;
    const ask = () => {
      const asked = request({ z: base?.z, set: turns });
      turns = [];
      return asked;
    };
    wish({ keep: true, slid: "dims", says: from.endsWith("changed") ? from : `${from}, changed`, request: ask });
  });

  // ---- what can be done with what was decoded
  /** @param {string} to */
  const sendTo = (to) => () => {
    if (base) send({ to, model: name, z: base.z, uri: lastOf(base), label: `${base.says} in ${title}` });
  };
  const save = () => {
    if (base) saveAt(lastOf(base), `${fileName(title, base.says)}.png`);
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
    smallButton("Back to the mean", () => {
      touched();
      choose(MEAN, () => ({}));
    }),
  );

  // ---- which map
  const choice = mapChoice(facts, title, server, () => showMap("dims"));
  /** @param {string} wanted "lda", "pca" or "dims" */
  const showMap = async (wanted) => {
    const next = choice.name(wanted);
    const mine = ++mapTurn;
    const found = await choice.points(next);
    if (mine !== mapTurn) return; // another map was chosen meanwhile
    error.say("error" in found ? found.error : null);
    if ("error" in found) return;
    map = next;
    hovering = false;
    lens.move(null);
    const fits = scatter.set({ ...found, labels, classes });
    tour.setStops(tourStops(found.points, labels));
    const lacking = facts.maps.includes(wanted) ? "" : "No map by class here: that takes three classes or more. ";
    const inside = "Inside the dashed line: 95% of the draws from N(0, I).";
    note.textContent = lacking + (fits ? inside : "Most draws from N(0, I) land far outside this map.");
    choose(base ? null : MEAN, () => ({ z: base?.z }));
  };

  const bars = latentBars(facts, title);
  const heading = h("summary", {}, "Change one latent number", h("small", {}, "the most active ones, ±3 σ"));
  const open = !matchMedia(NARROW).matches; // folded where there is little room
  const numbers = h("details", { class: "vs-numbers", open }, heading, sliders.node, bars.node);
  const node = h(
    "section",
    { class: "vs-space", "aria-label": `${kind} ${title}` },
    h("div", { class: "vs-space-head" }, h("h3", {}, kind, h("small", {}, title)), tools.node),
    h("div", { class: "vs-map-and-here" }, frame, pictures.node),
    h("div", { class: "vs-map-note" }, note, choice.node),
    legendOf(classes),
    error.node,
    selection.node,
    direction.node,
    actions,
    numbers,
  );
  return {
    node,
    facts,
    showMap,
    tour,
    /** @param {number | null} i the image that one looks at on another map */
    setRing: (i) => scatter.setRings(i === null ? (base?.nearest ?? []) : [i]),
    draw() {
      scatter.draw();
      bars.draw();
    },
    setSheet: sheet.setSheet,
  };
}
