// The address says what one sees: the tab, the model, and what the tab shows of it. It follows what one does, Back goes
// back, and a link opens what it says; Python's address.py sets the page to it. Where the page is in another's frame,
// which hides the address, a button copies the link.

/** @import { Context, ModelNews, Shown } from "./types" */
import { announce, button } from "./dom.js";
import { shortName } from "./format.js";
import { ownImages, restoreImages } from "./own_images.js";
import { listen, tell } from "./topics.js";

// As address.py has them.
const KEYS = "tab model image prior seed label n temperature steps a b map with run tour".split(" ");
const SETTLES = 350; // ms, in which what follows from one act comes to rest
const COPIED = 2000; // ms, for which it is said

/** Whether another page frames this one. */
const isFramed = () => window.self !== window.top;

/** The open tab's button. @returns {HTMLElement | null} */
const openTabButton = () => document.querySelector('[role=tab][aria-selected="true"]');

/** @param {Context<{ query: string, open?: string } | null>} context */
export default function mount({ root, props, trigger, watch }) {
  /** @type {ModelNews | null} */
  let news = null;
  /** @type {Map<string, Shown>} by tab */
  const shown = new Map();
  /** @type {Set<string>} tabs that show something new since the page was last set to an address */
  const fresh = new Set();
  let acted = false; // whether the visitor did something since the page was last set to an address
  /** @type {number | null} the step of the tour that is shown */
  let tour = null;
  let asked = ""; // of Python last
  let settled = ""; // what was seen last, once it had come to rest; the address may say less of it
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let due;

  const query = () => new URLSearchParams(location.search);
  /** What the page is to show: the address may say less of it than the history, which the page was opened with. */
  const wanted = () => history.state?.link ?? location.search;
  const isLink = () => KEYS.some((key) => query().has(key));
  /** Sets the page to what the address says. */
  const go = () => {
    acted = false;
    fresh.clear();
    restoreImages();
    asked = wanted();
    trigger("go", { query: asked });
  };

  /** The address of what is seen; null while it is still coming. */
  const current = () => {
    const tab = openTabButton()?.dataset.tabId;
    const model = news?.chosen;
    if (!tab || !model) return null;
    const state = shown.get(tab);
    if (!state) return null;
    if (state.model && state.model !== model) return null;
    const params = query();
    for (const key of KEYS) params.delete(key);
    for (const [key, value] of Object.entries({ ...{ tab, model }, ...state, tour }))
      if (value !== null && value !== undefined) params.set(key, String(value));
    return `?${params}`;
  };
  const name = () => {
    const tab = openTabButton();
    const run = tab?.dataset.tabId === "train" ? shown.get("train")?.run : null;
    const what = run ?? (news?.chosen ? shortName(news.chosen, 1) : null);
    if (tab && what) document.title = `${tab.textContent?.trim()}, ${what}`;
  };
  /** @param {"pushState" | "replaceState"} how @param {object} state @param {string} link */
  const keep = (how, state, link) => {
    try {
      history[how](state, "", link);
    } catch {
      history[how](null, "", link); // images larger than the browser keeps
    }
  };
  const write = () => {
    name();
    const now = current();
    if (!now) return;
    const tab = openTabButton()?.dataset.tabId ?? "";
    const own = ownImages(tab, shown.get(tab) ?? {});
    if (acted && now !== settled && now !== location.search) {
      keep("pushState", { own }, now);
      tell("moved", now);
    } else if (acted || fresh.has(tab))
      keep("replaceState", { own, link: now === location.search ? undefined : now }, location.href);
    settled = now;
  };
  const follow = () => {
    clearTimeout(due);
    due = setTimeout(write, SETTLES);
  };

  listen("models", (/** @type {ModelNews} */ latest) => {
    news = latest;
    follow();
  });
  listen("shown", (/** @type {Shown} */ state) => {
    shown.set(state.tab, state);
    fresh.add(state.tab);
    if (acted) follow();
    else write(); // what Back comes back to, whatever is done next
  });
  listen("tour", (/** @type {number | null} */ step) => {
    tour = step;
    follow();
  });
  listen("open-link", (/** @type {string} */ link) => {
    history.pushState(null, "", link);
    window.scrollTo({ top: 0, behavior: "instant" });
    go();
  });
  const tabs = document.querySelector(".tab-wrapper");
  const watchTabs = { subtree: true, childList: true, attributeFilter: ["aria-selected"] };
  if (tabs) new MutationObserver(follow).observe(tabs, watchTabs);
  for (const act of ["pointerdown", "keydown", "change", "drop", "paste"])
    document.addEventListener(act, () => (acted = true), { capture: true });
  window.addEventListener("popstate", go);
  watch("value", () => {
    // The answer to a Back before the last one has come after that one's.
    const late = props.value && props.value.query !== asked && !acted;
    if (late) go();
    else if (props.value?.open) tell("open-model", props.value.open);
  });

  if (isFramed()) {
    const copy = async () => {
      await navigator.clipboard.writeText(new URL(current() ?? "", location.href).href).catch(() => {});
      link.textContent = "Copied";
      announce("The link is copied.");
      setTimeout(() => {
        link.textContent = "Copy link";
      }, COPIED);
    };
    const link = button("Copy link", copy);
    root.append(link);
  }
  if (isLink()) go();
}
