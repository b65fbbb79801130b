// The tabs are moved through by arrow keys, Home and End, as tabs are elsewhere.

import { openTab } from "./dom.js";

/** The names of all tabs, in their order. */
const names = () => [...document.querySelectorAll("[role=tablist] [role=tab]")].map((tab) => tab.textContent?.trim());

/** @param {KeyboardEvent} event */
function move(event) {
  const tab = event.target instanceof Element ? event.target.closest("[role=tablist] [role=tab]") : null;
  if (!tab || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = names();
  const at = all.indexOf(tab.textContent?.trim());
  const last = all.length - 1;
  const to = { ArrowRight: at < last ? at + 1 : 0, ArrowLeft: at > 0 ? at - 1 : last, Home: 0, End: last }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  openTab(all[to] ?? "");
  requestAnimationFrame(() => {
    /** @type {HTMLElement | null} */
    const open = document.querySelector('[role=tab][aria-selected="true"]');
    open?.focus();
  });
}

export const watchTabKeys = () => document.addEventListener("keydown", move);
