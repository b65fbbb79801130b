// What the field's words mean, at the word: a note beside the button of term.js, by pointer and by keyboard.

import { announce, h } from "./dom.js";

/** @type {Record<string, [string, string]>} */
export const MEANINGS = {
  KL: [
    "KL divergence",
    "How much an image's posterior, the small cloud that the encoder answers with, differs from the prior. It counts " +
      "what the latent says about the image: 0 where it says nothing.",
  ],
  nats: [
    "Nats",
    "Information counted with the natural logarithm, as bits are with the logarithm to base 2. One nat is 1.44 bits.",
  ],
  β: [
    "Beta",
    "The weight of the KL term in the loss. 0 makes a plain auto-encoder; a large β makes smoother samples and " +
      "blurrier reconstructions. At 1 the loss is the bound that theory gives (the ELBO).",
  ],
  PSNR: [
    "Peak signal-to-noise ratio",
    "How small the average squared error is, in decibels. Higher is closer; 6 dB more halves the error of a pixel.",
  ],
  SSIM: [
    "Structural similarity",
    "Compares brightness, contrast and structure in small windows, as the eye does, rather than pixel by pixel. 1 " +
      "means the same picture; unlike pictures are near 0.",
  ],
  prior: [
    "Prior",
    "Where latents come from when there is no picture: the distribution that samples are drawn from. In training it " +
      "is N(0, I), plain noise; afterwards one can be fitted to the latents of real pictures.",
  ],
};
const GAP = 8; // CSS pixels

const box = h("div", { class: "vs-meaning", popover: "auto", role: "note" });
/** @type {HTMLElement | null} */
let at = null;
box.addEventListener("toggle", (event) => {
  const open = /** @type {ToggleEvent} */ (event).newState === "open";
  if (!open && at) at.setAttribute("aria-expanded", "false");
});

/** @param {HTMLElement} button */
export function showMeaning(button) {
  const [title, text] = MEANINGS[button.dataset.term ?? ""] ?? [];
  if (!title) return;
  if (!box.isConnected) document.querySelector(".gradio-container")?.append(box);
  box.replaceChildren(h("strong", {}, title), h("p", {}, text));
  at = button;
  box.showPopover();
  const word = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const room = document.documentElement.clientWidth - width - GAP;
  box.style.left = `${Math.max(GAP, Math.min(word.left, room))}px`;
  const below = word.bottom + GAP / 2;
  box.style.top = `${below + height > window.innerHeight - GAP ? word.top - height - GAP / 2 : below}px`;
  button.setAttribute("aria-expanded", "true");
  announce(`${title}: ${text}`);
}

export const hideMeaning = () => box.hidePopover();
