// On phones, what is done most on the open tab is always in reach of a thumb, and the settings are a sheet above it
// that leaves the result in sight. phone.css shows both where the screen is narrow.

import { button, h, icon } from "./dom.js";
import { listen } from "./topics.js";

/** @typedef {import("./dom.js").IconName} IconName */
/** @typedef {{ target: string, says?: string, shows?: IconName, unfolds?: boolean }} Action */

// Where the tab's own control is, which the bar presses. What it says is the control's own text where none is given;
// what it unfolds is in the settings.
/** @type {Action[]} */
const PICTURE = [
  { target: ".vs-controls .vs-file", says: "Choose a picture" },
  { target: '.vs-controls [data-action="draw"]', says: "Draw", shows: "pencil", unfolds: true },
];
/** @type {Record<string, Action[]>} */
const ACTIONS = {
  reconstruct: PICTURE,
  sample: [{ target: ".vs-controls button.primary" }],
  interpolate: [{ target: ".vs-play-path", shows: "play" }],
  latent: [{ target: '.vs-map-tools [data-action="tour"]', shows: "play" }],
  compare: PICTURE,
  train: [{ target: ".vs-controls button.primary" }],
};
const ERROR = ".vs-error:not([hidden])";
const OPEN = "vs-settings-open";

/** @returns {HTMLElement | null} */
const panel = () =>
  [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[role=tabpanel]"))].find(
    (each) => each.offsetParent,
  ) ?? null;
const openTab = () =>
  /** @type {HTMLElement | null} */ (document.querySelector('[role=tab][aria-selected="true"]'))?.dataset.tabId ?? "";

/** Puts the bar on the page once there is one. */
export function watchPhone() {
  const actions = h("div", { class: "vs-bar-actions" });
  const settings = button("Settings", () => open(!isOpen()), { class: "vs-button vs-bar-settings" });
  const bar = h("div", { class: "vs-bar", role: "group", "aria-label": "At hand" }, actions, settings);
  const isPhone = () => bar.clientHeight > 0;
  const isOpen = () => document.documentElement.classList.contains(OPEN);
  /** @param {boolean} wanted */
  const open = (wanted) => {
    document.documentElement.classList.toggle(OPEN, wanted);
    settings.setAttribute("aria-expanded", String(wanted));
    settings.textContent = wanted ? "Close" : "Settings";
    if (!wanted || !isPhone()) return;
    panel()?.querySelector(".vs-result")?.scrollIntoView({ block: "start" });
    const sheet = /** @type {HTMLElement | null | undefined} */ (panel()?.querySelector(".vs-controls"));
    sheet?.setAttribute("tabindex", "-1");
    sheet?.focus({ preventScroll: true });
  };

  // What goes wrong is said beside its cause, which may be in the closed sheet; and a control may change its name.
  const watcher = new MutationObserver((changes) => {
    const shown = panel();
    const said = changes.some(
      ({ target }) => target instanceof Element && shown?.contains(target) && target.matches(`.vs-controls ${ERROR}`),
    );
    if (said && !isOpen()) open(true);
    if (due) return;
    due = requestAnimationFrame(() => {
      due = 0;
      draw();
    });
  });
  let due = 0;
  const draw = () => {
    const found = (ACTIONS[openTab()] ?? []).flatMap(({ target, says, shows }) => {
      const control = /** @type {HTMLButtonElement | null | undefined} */ (panel()?.querySelector(target));
      if (!control || control.closest("[hidden]")) return [];
      const text = says ?? control.ariaLabel ?? control.textContent?.trim() ?? "";
      return [{ control, text, image: text === "Pause" ? "pause" : shows }];
    });
    const texts = found.map(({ text, control }) => `${text} ${control.disabled}`).join("|");
    if (actions.dataset.texts === texts) return;
    actions.dataset.texts = texts;
    const again = actions.contains(document.activeElement);
    const buttons = found.map(({ control, text, image }, i) =>
      button([image ? icon(image) : null, h("span", {}, text)], () => press(i), {
        "aria-label": text,
        class: i ? "vs-button" : "vs-button vs-bar-first",
        disabled: control.disabled,
      }),
    );
    actions.replaceChildren(...buttons);
    if (again) buttons[0]?.focus();
  };
  /** @param {number} i */
  const press = (i) => {
    const { target, unfolds } = ACTIONS[openTab()].filter((action) => panel()?.querySelector(action.target))[i];
    const control = /** @type {HTMLElement | null | undefined} */ (panel()?.querySelector(target));
    if (unfolds) open(true);
    if (!unfolds || control?.getAttribute("aria-expanded") !== "true") control?.click();
  };

  let tab = "";
  const follow = () => {
    if (tab !== openTab()) open(false);
    const top = document.querySelector(".tabs")?.getBoundingClientRect().top ?? 0;
    if (tab && tab !== openTab() && isPhone() && top < 0) window.scrollBy({ top, behavior: "instant" });
    tab = openTab();
    centre();
    draw();
  };
  /** Scrolls the tabs until the open one is in their middle. */
  const centre = () => {
    /** @type {HTMLElement | null} */
    const chosen = document.querySelector('[role=tab][aria-selected="true"]');
    const list = chosen?.parentElement;
    if (chosen && list) list.scrollTo({ left: chosen.offsetLeft - (list.clientWidth - chosen.offsetWidth) / 2 });
  };

  let begun = false;
  listen("models", () => {
    if (begun) return;
    begun = true;
    document.querySelector(".gradio-container main")?.append(bar);
    const attributes = ["hidden", "disabled", "aria-label"];
    watcher.observe(document.body, { subtree: true, childList: true, attributeFilter: attributes });
    const selected = { subtree: true, attributeFilter: ["aria-selected"] };
    new MutationObserver(() => setTimeout(follow)).observe(document.body, selected); // then the tab's panel is there
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !isOpen() || event.defaultPrevented) return;
      open(false);
      if (isPhone()) settings.focus();
    });
    follow();
  });
  listen("shown", centre); // by then all of them have their place
}
