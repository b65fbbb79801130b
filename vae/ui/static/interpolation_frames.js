// Where the frames of an interpolation stand, and which one is shown when.

/** @import { Interpolation, InterpolationKind } from "./types" */

/**
 * What there is to see. steps: frames from one stop of a loop to the next.
 *
 * @typedef {Pick<Interpolation, "kind" | "n" | "steps" | "labels">} Frames
 */

export const SIDES = "ABCDEF";
const FPS = 16;

/**
 * Between which ends a frame lies, and which share of the way from the one to the other.
 *
 * @param {number} i
 * @param {Frames} value
 */
export function placeOf(i, { kind, n, steps, labels }) {
  if (kind !== "loop") return { from: "A", to: "B", share: n > 1 ? i / (n - 1) : 0 };
  const leg = Math.floor(i / steps);
  return { from: SIDES[leg], to: SIDES[(leg + 1) % labels.length], share: (i % steps) / steps };
}

/**
 * The frame to show while playing: a path is played there and back, a loop in a circle.
 *
 * @param {number} ms since the first frame was shown
 * @param {number} n frames
 * @param {InterpolationKind} kind
 */
export function frameAt(ms, n, kind) {
  const k = Math.max(0, Math.floor((ms / 1000) * FPS));
  const last = n - 1;
  if (last < 1) return 0;
  if (kind === "loop") return k % n;
  const at = k % (2 * last);
  return at <= last ? at : 2 * last - at;
}

/** The time at which `frameAt` shows a frame first, in ms. @param {number} i */
export const timeOf = (i) => (i / FPS) * 1000;

/** The frames that are the ends, A first. @param {Frames} value @returns {number[]} */
export function endFrames({ kind, n, steps, labels }) {
  if (kind === "path") return [0, n - 1];
  return kind === "grid" ? [0, steps - 1, n - steps, n - 1] : labels.map((_, i) => i * steps);
}

/** `count` of n frames, evenly, the first and the last among them. @param {number} n @param {number} count */
export const filmstrip = (n, count) => [...Array(count).keys()].map((k) => Math.round((k * (n - 1)) / (count - 1)));

/** What was made, in words. @param {Frames} value */
export function describe({ kind, n, steps, labels }) {
  if (kind === "path") return `${n} frames from ${labels[0]} to ${labels[1]}`;
  if (kind === "grid") return `${steps} × ${steps} pictures between ${labels.join(", ")}`;
  return `${n} frames through ${labels.join(", ")} and back`;
}
