import assert from "node:assert/strict";
import { test } from "node:test";
import { tourPlace, tourStops } from "../../vae/ui/static/map_tour.js";

test("the tour stops at the middle of each class", () => {
  const points = new Float32Array([0, 0, 2, 0, 10, 10, 12, 14]);
  assert.deepEqual(tourStops(points, [1, 1, 0, 0]), [
    [11, 12],
    [1, 0],
  ]);
});

test("without classes it goes around at one standard deviation", () => {
  const stops = tourStops(new Float32Array([-2, 0, 2, 0, 0, 1, 0, -1]), null);
  for (const [x, y] of stops) assert.ok(Math.abs(x ** 2 / 2 + y ** 2 / 0.5 - 1) < 1e-6);
});

test("it passes through its stops without a jump, and closes", () => {
  /** @type {[number, number][]} */
  const stops = [
    [0, 0],
    [4, 1],
    [3, 5],
  ];
  for (const k of [0, 1, 2, 3, 7]) assert.deepEqual(tourPlace(stops, k), stops[k % 3]);
  for (let t = 0; t < 6; t += 0.01) {
    const [a, b] = [tourPlace(stops, t), tourPlace(stops, t + 0.01)];
    assert.ok(Math.hypot(a[0] - b[0], a[1] - b[1]) < 0.1);
  }
});
