// For those who learn and those who teach: the tour, the glossary at its words, and large type to present with. What
// the first page does not need is fetched when it is asked for.

import { listen } from "./topics.js";

const LARGE = "vs-large";
const KEPT = "vs-size"; // in the browser's storage; page_head.py reads it before anything is drawn
const HOVER = 300; // ms over a word before it is explained

const glossary = () => import("./glossary.js");
const tour = () => import("./tour.js");
/** The step that the address asks for; null for none. */
const linked = () => Number(new URLSearchParams(location.search).get("tour")) || null;

/** @param {boolean} large */
function setSize(large) {
  // Canvases watch the body.
  for (const node of [document.documentElement, document.body]) node.classList.toggle(LARGE, large);
  for (const node of document.querySelectorAll("[data-size]")) node.setAttribute("aria-pressed", String(large));
}

function changeSize() {
  const large = !document.documentElement.classList.contains(LARGE);
  setSize(large);
  const address = new URL(location.href);
  if (address.searchParams.has("size")) {
    address.searchParams.delete("size");
    history.replaceState(history.state, "", address);
  }
  try {
    localStorage.setItem(KEPT, large ? "large" : "usual");
  } catch {
    // it holds until the page is left
  }
}

/** @param {Event} event @param {string} selector @returns {HTMLElement | null} */
const within = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

export function watchTeaching() {
  document.addEventListener("click", async (event) => {
    const word = within(event, "[data-term]");
    if (word) (await glossary()).showMeaning(word);
    if (within(event, "[data-tour]")) (await tour()).start();
    if (within(event, "[data-size]")) changeSize();
  });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let due;
  document.addEventListener("pointerover", (event) => {
    const word = event.pointerType === "mouse" && within(event, "[data-term]");
    clearTimeout(due);
    if (word) due = setTimeout(async () => (await glossary()).showMeaning(word), HOVER);
  });
  document.addEventListener("pointerout", async (event) => {
    if (event.pointerType === "mouse" && within(event, "[data-term]")) (await glossary()).hideMeaning();
  });
  window.addEventListener("popstate", async () => {
    if (linked() || document.querySelector(".vs-tour")) (await tour()).show(linked());
  });
  let begun = false;
  listen("models", async () => {
    if (begun) return;
    begun = true; // now there is a page to show things on
    setSize(document.documentElement.classList.contains(LARGE));
    if (linked()) (await tour()).show(linked());
  });
}
