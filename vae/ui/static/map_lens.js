// The lens over a map: what is decoded at the pointer, right beside it, or above the finger that would hide it. On a
// tour it keeps to the map, and covers none of the buttons around it.

/** @import { How } from "./scatter_plot.js" */
import { h } from "./dom.js";
import { clamp } from "./geometry.js";
import { enlargement, isSmall } from "./pixel_scale.js";

const SIDE = 128; // CSS pixels
const GAP = 18; // from the mouse
const FINGER = 40; // from the middle of a finger

/**
 * Where the lens stands: left and top, in the coordinates of `at`.
 *
 * @param {[number, number]} at
 * @param {{ left: number, top: number, right: number, bottom: number }} room that it stays in
 * @param {boolean} touch whether a finger is there
 * @returns {[number, number]}
 */
export function lensPlace([x, y], room, touch) {
  const gap = touch ? FINGER : GAP;
  const above = y - gap - SIDE;
  const beside = x + gap + SIDE <= room.right ? x + gap : x - gap - SIDE;
  if (touch && above >= room.top) return [clamp(x - SIDE / 2, room.left, room.right - SIDE), above];
  if (touch) return [beside, clamp(y - SIDE / 2, room.top, room.bottom - SIDE)];
  return [beside, above >= room.top ? above : y + gap];
}

/** @param {HTMLElement} frame the map's, which the lens lies over @param {number} size of the images, in pixels */
export function mapLens(frame, size) {
  const image = h("img", { alt: "" });
  image.style.width = image.style.height = `${size * enlargement(size, SIDE)}px`;
  image.classList.toggle("crisp", isSmall(size));
  const node = h("div", { class: "vs-lens", hidden: true, "aria-hidden": "true" }, image);
  frame.append(node);
  return {
    /** @param {string} uri */
    show(uri) {
      image.src = uri;
    },
    /**
     * @param {[number, number] | null} at CSS pixels of the frame; null hides it
     * @param {How | "tour"} [how]
     */
    move(at, how) {
      const { left, top, width, height } = frame.getBoundingClientRect();
      const touring = how === "tour";
      const away = touring && left + width / 2 > innerWidth; // most of that map is off the screen
      node.hidden = !at || away;
      if (!at || away) return;
      const screen = { left: -left, top: -top, right: innerWidth - left, bottom: innerHeight - top };
      const room = touring ? { left: 0, top: 0, right: width, bottom: height } : screen;
      const [x, y] = lensPlace(at, room, how === "touch");
      node.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
    },
  };
}
