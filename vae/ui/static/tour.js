// The guided way through the page, in five steps. Each is an address: Next goes there, Back comes back, a link opens
// it.

/** @import { TourStep } from "./types" */
import { button, h } from "./dom.js";
import { tell } from "./topics.js";

/** @type {TourStep[]} those that Python put into the page's head */
const steps = JSON.parse(document.getElementById("vs-tour")?.textContent ?? "[]");

const count = h("p", { class: "vs-caption" });
const idea = h("h2", { id: "vs-tour-idea", tabindex: -1 });
const says = h("p");
const tries = h("p", { class: "vs-tour-tries" });
const dots = h("span", { class: "vs-tour-dots", "aria-hidden": "true" });
const back = button("Back", () => go(at - 1));
const next = button("Next", () => (at < steps.length ? go(at + 1) : leave()), { class: "vs-button vs-tour-next" });
const skip = button("Skip the tour", () => leave(), { class: "vs-link vs-tour-skip" });
const node = h(
  "section",
  { class: "vs-tour", "aria-labelledby": "vs-tour-idea" },
  h("div", { class: "vs-head" }, count, skip),
  idea,
  says,
  tries,
  h("div", { class: "vs-actions" }, dots, back, next),
);
node.addEventListener("keydown", (event) => {
  if (event.key === "Escape") leave();
});
let at = 0;

/** Shows a step beside what the address has opened; null for none. @param {number | null} n */
export function show(n) {
  const step = n === null ? undefined : steps[n - 1];
  at = step && n ? n : 0;
  tell("tour", at || null);
  document.documentElement.toggleAttribute("data-tour-step", Boolean(step));
  if (!step) {
    node.remove();
    return;
  }
  document.documentElement.setAttribute("data-tour-step", String(at));
  node.dataset.step = String(at);
  count.textContent = `Try this: ${at} of ${steps.length}`;
  idea.textContent = step.idea;
  says.textContent = step.says;
  tries.textContent = step.tries;
  dots.replaceChildren(...steps.map((_, i) => h("i", { class: i + 1 === at ? "now" : null })));
  back.disabled = at === 1;
  next.textContent = at < steps.length ? "Next" : "Done";
  skip.hidden = at === steps.length;
  if (!node.isConnected) document.querySelector(".gradio-container")?.append(node);
  idea.focus({ preventScroll: true });
  const narrow = window.matchMedia("(max-width: 640px)").matches; // there the result is between the tabs and the step
  const top = document.querySelector(narrow ? ".tabs" : ".vs-header")?.getBoundingClientRect().top ?? 0;
  window.scrollBy({ top, behavior: "instant" });
}

/** @param {number} n */
function go(n) {
  tell("open-link", `?tour=${n}`);
  show(n);
}

function leave() {
  show(null);
  /** @type {HTMLElement | null} */
  const begin = document.querySelector("[data-tour]");
  begin?.focus();
}

/** From the beginning. */
export const start = () => go(1);
