// The latent spaces of one or two models side by side, and what is said of a model that has no map yet.

/** @import { Context, LatentServer, LatentSpaces, Unmeasured } from "./types" */
import { announce, h, loadImage, onThemeChange, poll } from "./dom.js";
import { shortName } from "./format.js";
import { latentMap } from "./latent_map.js";
import { runButton } from "./run_button.js";
import { markStale } from "./stale_mark.js";
import { listen, tell } from "./topics.js";

const CHECK = 3000; // ms between looks whether a model has been measured
const STILL = "(prefers-reduced-motion: reduce)";
const MEASURE = "A map needs a measurement: a data set is encoded once, and the result is kept beside the weights. ";

/** @typedef {ReturnType<typeof latentMap>} Space */

/**
 * What to do about a model without a map.
 *
 * @param {Unmeasured} unmeasured
 * @param {string[]} shown the models shown instead
 */
function noticeOf({ name, says, run, refused }, shown) {
  const title = shortName(name, 1);
  const heading = refused ? `The map of ${title} cannot be shown` : `${title} has no map yet`;
  /** @type {HTMLElement[]} */
  const nodes = [h("h3", {}, heading), refused ? h("p", { class: "vs-error" }, says) : h("p", {}, MEASURE, says)];
  if (run) nodes.push(h("p", {}, runButton(run)));
  const maps = shown.length > 1 ? "the maps" : "the map";
  if (shown.length)
    nodes.push(h("p", {}, `Until then, here: ${maps} of ${shown.join(" and ")}, good examples to explore.`));
  return nodes;
}

/** @param {Context<LatentSpaces | null, LatentServer>} context */
export default function mount({ root, props, server, trigger, watch }) {
  const notice = h("div", { class: "vs-unmeasured", hidden: true });
  let row = h("div", { class: "vs-spaces" });
  root.append(notice, row);

  /** @type {Map<string, Promise<HTMLImageElement>>} */
  const sheets = new Map();
  /** @type {Space[]} */
  let spaces = [];
  /** @type {string | null} */
  let map = null;
  let shown = "";
  let touched = false; // the maps tour themselves until the first touch

  /** @param {Space} space */
  const fetchSheet = async (space) => {
    const { name, sheet } = space.facts;
    let image = sheets.get(sheet);
    if (!image) {
      image = server.latent_space_sheet({ model: name }).then(({ uri }) => loadImage(uri));
      sheets.set(sheet, image);
    }
    try {
      space.setSheet(await image);
    } catch {
      sheets.delete(sheet); // without it there are only words
    }
  };
  const showMaps = async () => {
    const wanted = map;
    if (wanted === null) return;
    await Promise.all(spaces.map((space) => space.showMap(wanted)));
    spaces.forEach(fetchSheet);
    if (!touched && !matchMedia(STILL).matches) for (const space of spaces) space.tour.start();
  };
  /** The same picture on the other maps of that data set. @param {Space} space @param {number | null} i */
  const ringElsewhere = (space, i) => {
    const { sheet, n } = space.facts;
    for (const other of spaces)
      if (other !== space && other.facts.sheet === sheet && other.facts.n === n) other.setRing(i);
  };
  /** @param {LatentSpaces} value */
  const makeSpaces = (value) => {
    spaces = value.spaces.map((facts) => {
      /** @type {Space} */
      const space = latentMap(facts, {
        server,
        send: (what) => trigger("send", what),
        hovered: (i) => ringElsewhere(space, i),
        touched: () => {
          touched = true;
          for (const one of spaces) one.tour.stop();
        },
      });
      return space;
    });
    const old = row; // other maps are other elements, so that none is seen to jump
    row = h("div", { class: "vs-spaces", "data-n": spaces.length });
    row.append(...spaces.map((space) => space.node));
    old.replaceWith(row);
  };
  const tellShown = () => tell("shown", { tab: "latent", model: props.value?.model, map });
  const mark = markStale(root, () => props.value);
  const show = () => {
    const value = props.value;
    if (!value) return;
    mark();
    map ??= value.map ?? null; // else what the visitor has chosen meanwhile
    tellShown();
    const { unmeasured } = value;
    notice.hidden = !unmeasured;
    const names = value.spaces.map((space) => space.name);
    if (unmeasured) notice.replaceChildren(...noticeOf(unmeasured, names));
    const maps = value.spaces.map(({ name, sheet, kl, sliders }) => [name, sheet, kl, sliders]);
    const key = JSON.stringify([unmeasured?.name, maps]);
    if (key === shown) return;
    shown = key;
    makeSpaces(value);
    showMaps();
  };
  // Once it has been measured, the map appears by itself.
  poll(notice, CHECK, async () => {
    const unmeasured = props.value?.unmeasured;
    if (!unmeasured) return;
    const news = await server.latent_space_opened({ model: unmeasured.name });
    if (props.value?.unmeasured !== unmeasured || news.unmeasured !== null) return;
    props.value = { ...news, model: unmeasured.name };
    show();
    announce(`${shortName(unmeasured.name, 1)} is measured: here is its map.`);
  });
  onThemeChange(() => {
    for (const space of spaces) space.draw();
  });
  listen("latent-map", (/** @type {string | null} */ wanted) => {
    map = wanted;
    if (props.value) tellShown();
    showMaps();
  });
  watch("value", show);
  show();
}
