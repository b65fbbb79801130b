// "More like a 7": from the mean of some images to the mean of others, as a slider. The field's word: attribute vector.

/** @import { ImageSet } from "./types" */
import { button, h } from "./dom.js";
import { twoDecimals } from "./format.js";

export const ALL = "all pictures"; // of the map, as a set
const REACH = 2; // times the way from the one mean to the other
const FIRST = 7; // the class that the slider leads to at first, if there are so many

/**
 * @param {object} options
 * @param {string} options.title the model's
 * @param {string[] | null} options.classes
 * @param {(share: number, to: ImageSet, from: ImageSet, says: string) => void} options.moved
 * @param {(of: ImageSet, says: string) => void} options.goTo the mean of a set
 * @param {() => void} options.turned another way was chosen
 */
export function latentDirection({ title, classes, moved, goTo, turned }) {
  /** @type {Map<string, ImageSet>} what is in the two lists, by its name there */
  const sets = new Map([[ALL, /** @type {ImageSet} */ (null)]]);
  classes?.forEach((name, i) => {
    sets.set(name, { class: i });
  });
  const to = h("select", { class: "vs-select", "aria-label": `More like these, ${title}`, onchange: () => turn() });
  const from = h("select", { class: "vs-select", "aria-label": `Than like these, ${title}`, onchange: () => turn() });
  const range = { type: "range", class: "vs-scrub", min: -REACH, max: REACH, step: 0.02, value: 0 };
  const slider = h("input", { ...range, id: `vs-along-${title}`, oninput: () => slide() });
  const output = h("output");
  const there = button("", () => goTo(sets.get(to.value) ?? null, to.value), { class: "vs-button small" });
  const hint = h("p", { class: "vs-caption" });

  const show = () => {
    output.textContent = twoDecimals(Number(slider.value));
  };
  const reset = () => {
    slider.value = "0";
    show();
  };
  const fill = () => {
    for (const list of [to, from]) {
      const before = list.value;
      list.replaceChildren(...[...sets.keys()].map((name) => h("option", { value: name }, name)));
      if (sets.has(before)) list.value = before;
    }
  };
  const say = () => {
    const same = to.value === from.value;
    slider.disabled = same;
    slider.setAttribute("aria-label", `More like ${to.value} than like ${from.value}, ${title}`);
    there.replaceChildren(`Go to the mean of ${to.value}`);
    hint.textContent = same
      ? "Choose two different sets; with Select above a map you make sets of your own."
      : `1 is as far as from the mean of ${from.value} to the mean of ${to.value}; below 0 it is less like it.`;
  };
  const turn = () => {
    reset();
    say();
    turned();
  };
  const slide = () => {
    show();
    const says = `more like ${to.value}`;
    moved(Number(slider.value), sets.get(to.value) ?? null, sets.get(from.value) ?? null, says);
  };
  fill();
  if (classes?.length) to.value = classes[Math.min(FIRST, classes.length - 1)];
  reset();
  say();

  const heading = h("h4", {}, "Make it more like others", h("small", {}, "an attribute vector, from mean to mean"));
  const lists = h(
    "div",
    { class: "vs-along-sets" },
    h("span", {}, "more like"),
    to,
    h("span", {}, "than"),
    from,
    there,
  );
  const row = h("div", { class: "vs-dim vs-along" }, slider, output);
  return {
    node: h("section", { class: "vs-direction" }, heading, lists, row, hint),
    reset,
    /** Adds or replaces a set that was made on the map, and leads to it.
     * @param {string} name @param {number[]} points */
    setOwn(name, points) {
      const others = [...sets.keys()].filter((other) => other.startsWith("set ") && other !== name);
      sets.set(name, { points });
      fill();
      // The second one is led to from the first.
      to.value = others.length ? name : to.value;
      if (others.length) from.value = others[0];
      else to.value = name;
      if (to.value === from.value) from.value = ALL;
      turn();
    },
  };
}
