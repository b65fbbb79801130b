// Wheel, pointer, fingers and keys on a pane, as zooms and moves.

import { wheelFactor } from "./comparison_view.js";
import { directionOf } from "./geometry.js";

const KEY_ZOOM = 1.5;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} page x and y: CSS pixels from the canvas's middle
 * @param {() => boolean} page.isFitted whether all of the picture is shown
 * @param {(factor: number, x?: number, y?: number) => void} page.zoom
 * @param {(dx: number, dy: number) => void} page.pan
 * @param {() => void} page.fit
 * @param {(x: number, y: number) => void} page.point is told where the mouse is
 * @param {() => void} page.leave
 */
export function addGestures(canvas, { isFitted, zoom, pan, fit, point, leave }) {
  /** @type {Map<number, [number, number]>} */
  const fingers = new Map();
  /** @param {MouseEvent} event @returns {[number, number]} */
  const fromMiddle = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  };

  canvas.addEventListener(
    "wheel",
    (event) => {
      if (isFitted() && event.deltaY > 0) return; // the page scrolls on
      event.preventDefault();
      zoom(wheelFactor(event.deltaY, event.deltaMode !== 0), ...fromMiddle(event));
    },
    { passive: false },
  );
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, fromMiddle(event));
  });
  /** @param {PointerEvent} event */
  const lift = (event) => fingers.delete(event.pointerId);
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = fromMiddle(event);
    if (event.pointerType === "mouse") point(x, y);
    const before = fingers.get(event.pointerId);
    if (!before) return;
    fingers.set(event.pointerId, [x, y]);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) {
      pan(before[0] - x, before[1] - y);
      return;
    }
    /** @param {number} fromX @param {number} fromY */
    const distance = (fromX, fromY) => Math.hypot(fromX - other[0], fromY - other[1]) || 1;
    zoom(distance(x, y) / distance(...before), (x + other[0]) / 2, (y + other[1]) / 2);
    pan((before[0] - x) / 2, (before[1] - y) / 2);
  });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("dblclick", (event) => zoom(2, ...fromMiddle(event)));
  canvas.addEventListener("keydown", (event) => {
    const direction = directionOf(event.key);
    const step = canvas.clientWidth / 8;
    if (direction && isFitted()) return;
    if (direction) pan(direction[0] * step, direction[1] * step);
    else if (event.key === "+" || event.key === "=") zoom(KEY_ZOOM);
    else if (event.key === "-") zoom(1 / KEY_ZOOM);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
}
