import assert from "node:assert/strict";
import { test } from "node:test";
import { apart, blend, middles } from "../../vae/ui/static/beta_map.js";

const scene = (/** @type {number} */ at) => ({
  points: new Float32Array([at, 0, 0, at]),
  outline: /** @type {[number, number][]} */ ([[at, at]]),
  view: { x: at, y: 0, half: at + 1 },
});

test("a map glides from one scene into another", () => {
  assert.deepEqual(blend(scene(0), scene(4), 0), scene(0));
  assert.deepEqual(blend(scene(0), scene(4), 0.5), scene(2));
  assert.deepEqual(blend(scene(0), scene(4), 1), scene(4));
});

test("a class is written at its middle, which one far out does not move", () => {
  const points = new Float32Array([0, 0, 1, 1, 100, 2, 5, 6]);
  const found = middles(points, [7, 7, 7, 3]);
  assert.deepEqual(found[7], [1, 1]);
  assert.deepEqual(found[3], [5, 6]);
});

test("no class is written over another; where all lie in one place, it is theirs together", () => {
  assert.deepEqual(
    apart([
      [0, 0],
      [50, 0],
      [3, 4],
    ]),
    [
      { digits: [0, 2], at: [0, 0] },
      { digits: [1], at: [50, 0] },
    ],
  );
  assert.deepEqual(apart(Array(10).fill([7, 7]))[0].digits.length, 10);
});
