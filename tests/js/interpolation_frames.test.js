import assert from "node:assert/strict";
import { test } from "node:test";
import { describe, endFrames, filmstrip, frameAt, placeOf, timeOf } from "../../vae/ui/static/interpolation_frames.js";

const PATH = { kind: /** @type {const} */ ("path"), n: 5, steps: 5, labels: ["seed 3", "seed 4"] };
const GRID = { kind: /** @type {const} */ ("grid"), n: 9, steps: 3, labels: ["a", "b", "c", "d"] };
const LOOP = { kind: /** @type {const} */ ("loop"), n: 12, steps: 4, labels: ["a", "b", "c"] };

test("frames know between which ends they lie", () => {
  assert.deepEqual(placeOf(0, PATH), { from: "A", to: "B", share: 0 });
  assert.deepEqual(placeOf(4, PATH), { from: "A", to: "B", share: 1 });
  assert.deepEqual(placeOf(5, LOOP), { from: "B", to: "C", share: 0.25 });
  assert.deepEqual(placeOf(11, LOOP), { from: "C", to: "A", share: 0.75 });
});

test("a path is played there and back, a loop in a circle", () => {
  /** @param {number} n @param {"path" | "loop"} kind @param {number} frames */
  const played = (n, kind, frames) => [...Array(frames).keys()].map((i) => frameAt(timeOf(i) + 1, n, kind));
  assert.deepEqual(played(4, "path", 8), [0, 1, 2, 3, 2, 1, 0, 1]);
  assert.deepEqual(played(4, "loop", 6), [0, 1, 2, 3, 0, 1]);
  assert.equal(frameAt(-20, 4, "path"), 0);
  assert.equal(frameAt(500, 1, "path"), 0);
});

test("the ends are found among the frames", () => {
  assert.deepEqual(endFrames(PATH), [0, 4]);
  assert.deepEqual(endFrames(GRID), [0, 2, 6, 8]);
  assert.deepEqual(endFrames(LOOP), [0, 4, 8]);
});

test("a filmstrip has both ends and no frame twice", () => {
  assert.deepEqual(filmstrip(32, 2), [0, 31]);
  const strip = filmstrip(32, 9);
  assert.deepEqual([strip.length, new Set(strip).size, strip[0], strip[8]], [9, 9, 0, 31]);
});

test("what was made is said in words", () => {
  assert.equal(describe(PATH), "5 frames from seed 3 to seed 4");
  assert.equal(describe(GRID), "3 × 3 pictures between a, b, c, d");
  assert.equal(describe(LOOP), "12 frames through a, b, c and back");
});
