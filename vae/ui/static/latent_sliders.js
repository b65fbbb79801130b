// A slider for each of the most active numbers of a latent.

/** @import { LatentSpace } from "./types" */
import { h } from "./dom.js";
import { twoDecimals } from "./format.js";

const SLIDER_STEPS = 240;

/**
 * @param {LatentSpace["sliders"]} numbers
 * @param {string} title the model's
 * @param {(dim: number, value: number) => void} moved
 */
export function latentSliders(numbers, title, moved) {
  const sliders = numbers.map(({ dim, low, high, mean }) => {
    const steps = { min: low, max: high, step: (high - low) / SLIDER_STEPS, value: mean };
    const label = `Latent dimension ${dim} of ${title}`;
    const input = h("input", {
      type: "range",
      class: "vs-scrub",
      ...steps,
      id: `vs-dim-${title}-${dim}`,
      "aria-label": label,
    });
    const output = h("output");
    /** @param {number} value */
    const set = (value) => {
      input.value = String(value);
      output.textContent = twoDecimals(value);
    };
    input.addEventListener("input", () => {
      const value = Number(input.value);
      set(value);
      moved(dim, value);
    });
    set(mean);
    const node = h("div", { class: "vs-dim" }, h("span", { "aria-hidden": "true" }, String(dim)), input, output);
    return { set, node };
  });
  const nodes = sliders.map((slider) => slider.node);
  return {
    node: h("div", { class: "vs-dims" }, nodes),
    /** @param {number[]} values in the order of the sliders */
    set(values) {
      sliders.forEach((slider, i) => {
        slider.set(values[i]);
      });
    },
  };
}
