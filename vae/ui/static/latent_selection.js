// A region or some images selected on a map: how many of what, the images themselves, and sets made of them.

/** @import { Thumbnail } from "./sheet_images.js" */
import { button, h } from "./dom.js";
import { plural } from "./format.js";

const SHOWN = 24; // images
const ROOM = 34; // CSS pixels for each
const CLASSES = 3; // that are counted, the largest
const HINT =
  "Draw around points on the map, or click them one by one. Their mean is decoded, and sets make directions.";

/**
 * @param {object} options
 * @param {(i: number) => string} options.nameOf a point
 * @param {(i: number) => string | null} options.classOf a point
 * @param {(room: number) => Thumbnail} options.thumbnail
 * @param {(points: number[]) => void} options.changed
 * @param {(name: string, points: number[]) => void} options.keep as a set
 */
export function latentSelection({ nameOf, classOf, thumbnail, changed, keep }) {
  /** @type {number[]} */
  let points = [];
  let selecting = false;
  const says = h("p", { class: "vs-caption", "aria-live": "polite" });
  const images = h("div", { class: "vs-selected-images" });
  /** @param {string} name */
  const keepAs = (name) => button(`Keep as ${name}`, () => keep(name, points), { class: "vs-button small" });
  const clear = button("Clear", () => set([]), { class: "vs-button small" });
  const actions = h("div", { class: "vs-selection-actions" }, keepAs("set A"), keepAs("set B"), clear);
  const node = h("section", { class: "vs-selection", "aria-label": "Selected pictures", hidden: true }, says, images);
  node.append(actions);

  /** How many there are of each class, the most first. */
  const tally = () => {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const i of points) {
      const of = classOf(i);
      if (of !== null) counts.set(of, (counts.get(of) ?? 0) + 1);
    }
    const most = [...counts].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} (${n})`);
    return [...most.slice(0, CLASSES), ...(most.length > CLASSES ? ["…"] : [])].join(", ");
  };
  const show = () => {
    node.hidden = !selecting && !points.length;
    const of = tally();
    const more = points.length > SHOWN ? `. ${SHOWN} of them:` : "";
    says.textContent = points.length ? `${plural(points.length, "picture")} selected${of && `: ${of}`}${more}` : HINT;
    actions.hidden = !points.length;
    // Spread over all of them, so that one sees what the region holds.
    const n = Math.min(SHOWN, points.length);
    const seen = [...Array(n).keys()].map((k) => points[Math.floor((k * points.length) / n)]);
    images.replaceChildren(
      ...seen.map((i) => {
        const { node: image, show: paint } = thumbnail(ROOM);
        paint(i);
        const label = `Leave out ${nameOf(i)}`;
        return button(image, () => toggle(i), { class: "vs-cell", "aria-label": label, title: label });
      }),
    );
  };
  /** @param {number[]} wanted */
  const set = (wanted) => {
    points = wanted;
    show();
    changed(points);
  };
  /** @param {number} i */
  const toggle = (i) => set(points.includes(i) ? points.filter((other) => other !== i) : [...points, i]);
  return {
    node,
    set,
    toggle,
    /** @param {boolean} on whether one is selecting */
    setSelecting(on) {
      selecting = on;
      show();
    },
  };
}
