// Mouse, fingers, wheel and keys on a map: looking at a place, choosing one, zooming, moving, drawing an outline.

import { wheelFactor } from "./comparison_view.js";
import { directionOf } from "./geometry.js";

const DRAGGED = 5; // pixels, from which on a press is no click
const KEY_ZOOM = 1.5;

/** @typedef {[number, number]} Pixel from the canvas's top left corner, in CSS pixels */

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} map
 * @param {() => boolean} map.isWhole whether all of the map is seen
 * @param {() => boolean} map.isSelecting whether a drag draws an outline
 * @param {(at: Pixel, how: "mouse" | "touch") => void} map.look
 * @param {() => void} map.leave
 * @param {(at: Pixel) => void} map.choose
 * @param {(corners: Pixel[]) => void} map.outline while it is drawn
 * @param {(corners: Pixel[]) => void} map.select once it is
 * @param {(factor: number, at?: Pixel) => void} map.zoom
 * @param {(dx: number, dy: number) => void} map.pan
 * @param {() => void} map.fit
 * @param {(direction: [number, number], fast: boolean) => void} map.step by an arrow key
 * @param {() => void} map.enter
 * @param {() => void} map.escape
 */
export function addMapGestures(canvas, map) {
  /** @type {Map<number, Pixel>} buttons and fingers that are down */
  const down = new Map();
  /** @type {Pixel[]} the way of the first of them */
  let way = [];
  let dragged = false;
  let pinched = false;

  /** @param {MouseEvent} event @returns {Pixel} */
  const pixelOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  /** @param {PointerEvent} event */
  const howOf = (event) => (event.pointerType === "mouse" ? "mouse" : "touch");

  /** @param {PointerEvent} event @param {Pixel} before @param {Pixel} now */
  const pinch = (event, before, now) => {
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) return;
    /** @param {Pixel} finger */
    const apart = (finger) => Math.hypot(finger[0] - other[0], finger[1] - other[1]) || 1;
    map.zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    map.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = pixelOf(event);
    if (down.size) {
      pinched = true;
      map.outline([]);
      map.leave();
    } else {
      way = [at];
      dragged = pinched = false;
      if (!map.isSelecting()) map.look(at, howOf(event));
    }
    down.set(event.pointerId, at);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = pixelOf(event);
    const before = down.get(event.pointerId);
    if (!before) {
      map.look(at, howOf(event));
      return;
    }
    down.set(event.pointerId, at);
    dragged ||= Math.hypot(at[0] - way[0][0], at[1] - way[0][1]) > DRAGGED;
    if (pinched) pinch(event, before, at);
    else if (map.isSelecting()) {
      way.push(at);
      map.outline(way);
    } else if (howOf(event) === "mouse" && !map.isWhole()) map.pan(at[0] - before[0], at[1] - before[1]);
    else map.look(at, howOf(event));
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!down.delete(event.pointerId) || pinched) return;
    const panned = dragged && howOf(event) === "mouse" && !map.isWhole();
    if (map.isSelecting() && dragged) map.select(way);
    else if (!panned) map.choose(pixelOf(event));
  });
  canvas.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
    map.outline([]);
    map.leave();
  });
  canvas.addEventListener("pointerleave", () => map.leave());
  canvas.addEventListener(
    "wheel",
    (event) => {
      // The page scrolls on, unless one means the map: with Ctrl, as pinching a trackpad has it, or having clicked it.
      const meant = event.ctrlKey || event.metaKey || document.activeElement === canvas;
      if (!meant || (map.isWhole() && event.deltaY > 0 && !event.ctrlKey)) return;
      event.preventDefault();
      map.zoom(wheelFactor(event.deltaY, event.deltaMode !== 0), pixelOf(event));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const direction = directionOf(event.key);
    if (direction) map.step(direction, event.shiftKey);
    else if (event.key === "Enter" || event.key === " ") map.enter();
    else if (event.key === "Escape") map.escape();
    else if (event.key === "+" || event.key === "=") map.zoom(KEY_ZOOM);
    else if (event.key === "-") map.zoom(1 / KEY_ZOOM);
    else if (event.key === "0") map.fit();
    else return;
    event.preventDefault();
  });
}
