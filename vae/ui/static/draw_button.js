// A button beside a box for images: it opens a pad to draw one on, whose module is fetched then.

/** @import { SketchLook, SketchServer } from "./types" */
import { button, h, icon } from "./dom.js";

/**
 * @param {object} page
 * @param {string} page.of what the drawing is for, in words
 * @param {SketchServer} page.server
 * @param {(uri: string) => void} page.drawn the drawing is to be the picture
 * @param {(look: SketchLook & { model: string }) => void} [page.looked] what the model made of it while one draws
 */
export function drawButton({ of, server, drawn, looked }) {
  const place = h("div", { class: "vs-pad-place", hidden: true });
  /** @type {Promise<{ node: HTMLElement, open: () => void }> | null} */
  let pad = null;
  const make = async () => {
    const { drawPad } = await import("./draw_pad.js");
    const made = drawPad({ of, server, drawn, looked });
    place.append(made.node);
    return made;
  };
  /** @param {boolean} open */
  const show = (open) => {
    place.hidden = !open;
    node.setAttribute("aria-expanded", String(open));
  };
  const toggle = async () => {
    const opens = place.hidden;
    show(opens);
    if (!opens) return;
    pad ??= make().catch((error) => {
      pad = null; // the server was away: the next click tries again
      show(false);
      throw error;
    });
    (await pad).open();
  };
  const node = button([icon("pencil"), "Draw"], toggle, { "data-action": "draw" });
  show(false);
  return { node, place, close: () => show(false) };
}
