// The notice that a model can't generate on its own, and what its latents are like. The value is null for one that can.

/** @import { Context, NotGenerative } from "./types" */
import { announce, h } from "./dom.js";
import { number } from "./format.js";
import { isSmall } from "./pixel_scale.js";

const TITLE = "This model can't generate on its own";
const WHY =
  "It was trained to redraw pictures, with next to no pull towards N(0, I): in Stable Diffusion that pull, the KL " +
  "term, has a weight of one millionth. So training never prepared the places where plain noise lands, and what is " +
  "decoded from there is texture. In Stable Diffusion a second network, the diffusion model, makes the latents; this " +
  "one only turns them into pictures.";
const NOISE =
  "Even noise with the right mean and spread is no picture, although its colours are the same: what makes a " +
  "picture is how neighbouring numbers relate to each other.";

/** @param {string} uri @param {number} width @param {string} title @param {string} says */
const figure = (uri, width, title, says) =>
  h(
    "figure",
    {},
    h("img", { src: uri, alt: title, class: isSmall(width) ? "crisp" : null }),
    h("figcaption", {}, h("strong", {}, title), h("span", {}, says)),
  );

/** @param {string} word @param {string} term @param {string} value @param {string} says */
const fact = (word, term, value, says) =>
  h("div", {}, h("dt", {}, word, h("small", {}, term)), h("dd", {}, value, h("small", {}, says)));

/** @param {Context<NotGenerative | null>} context */
export default function mount({ root, props, watch }) {
  let shown = "";
  const show = () => {
    const value = props.value;
    if (JSON.stringify(value) === shown) return; // sent twice, see sample.py
    shown = JSON.stringify(value);
    root.replaceChildren();
    if (!value) return;
    const { original, repainted, noise, width, std, sigma, alike } = value;
    const uncertainty = sigma === null ? [number(0), "each picture is one point"] : [number(sigma), "1 for N(0, I)"];
    root.append(
      h("h3", {}, TITLE),
      h("p", {}, WHY),
      h(
        "dl",
        { class: "vs-stats" },
        fact("Spread of its latents", "std", number(std), "1 for N(0, I)"),
        fact("Uncertainty of each number", "mean σ", uncertainty[0], uncertainty[1]),
        fact("Likeness of neighbours", "correlation", number(alike), "0 for noise"),
      ),
      h(
        "div",
        { class: "vs-trio" },
        figure(original, width, "Original", "as the encoder sees it"),
        figure(repainted, width, "Redrawn", "from its own latent"),
        figure(noise, width, "Matched noise", "each channel with the same mean and spread"),
      ),
      h("p", {}, NOISE),
    );
    announce(`${TITLE}.`);
  };
  watch("value", show);
  show();
}
