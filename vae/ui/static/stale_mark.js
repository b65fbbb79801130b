// A result never stands under another model's name: it is dimmed until the chosen model's comes.

/** @import { ModelNews } from "./types" */
import { listen } from "./topics.js";

/**
 * Dims `root` while what it shows is of another model than the chosen one, or is waited for.
 *
 * @param {HTMLElement} root
 * @param {() => { model?: string | null, waiting?: boolean } | null | undefined} shown
 * @returns {() => void} looks again, once something else is shown
 */
export function markStale(root, shown) {
  /** @type {string | null} */
  let chosen = null;
  const look = () => {
    const { model, waiting } = shown() ?? {};
    const other = Boolean(model) && chosen !== null && model !== chosen;
    root.classList.toggle("stale", other || Boolean(waiting));
  };
  listen("models", (/** @type {ModelNews} */ news) => {
    chosen = news.chosen;
    look();
  });
  return look;
}
