import assert from "node:assert/strict";
import { test } from "node:test";
import {
  axisRange,
  countUpTo,
  endOf,
  pointBefore,
  pointsWithin,
  shareOf,
  smooth,
  ticks,
  zoomRange,
} from "../../vae/ui/static/chart_data.js";

/** @type {import("../../vae/ui/static/chart_data.js").Point[]} */
const POINTS = [
  [0, 5],
  [1, 4],
  [2, 3],
  [3, 2],
];

test("points are found by their place", () => {
  assert.deepEqual(
    [-1, 0, 1.5, 3, 9].map((at) => countUpTo(POINTS, at)),
    [0, 1, 2, 4, 4],
  );
  assert.deepEqual(pointBefore(POINTS, 2.5), [2, 3]);
  assert.equal(pointBefore(POINTS, -1), undefined);
  assert.equal(endOf([{ label: "", colour: "", points: POINTS }]), 3);
  assert.equal(endOf([]), 0);
});

test("what is in sight goes on beyond both edges", () => {
  assert.deepEqual(
    pointsWithin(POINTS, [1.2, 1.8]).map((point) => point[0]),
    [1, 2],
  );
  assert.deepEqual(pointsWithin(POINTS, [-5, 9]), POINTS);
});

test("an axis holds all values, whatever they are", () => {
  for (const log of [true, false]) {
    for (const values of [[3, 700, 20], [5], [-2, 8], [0, 4], [Number.NaN, 1, Infinity]]) {
      const axis = axisRange(values, log);
      const finite = values.filter(Number.isFinite);
      assert.ok(axis.low <= Math.min(...finite) && axis.high > Math.max(...finite) && axis.low < axis.high);
      assert.equal(axis.log, log && Math.min(...finite) > 0);
      for (const value of finite) assert.ok(shareOf(value, axis) >= 0 && shareOf(value, axis) <= 1);
    }
  }
  assert.deepEqual(axisRange([Number.NaN], true), { low: 0, high: 1, log: false });
  assert.equal(axisRange([0, 4], false).low, 0, "nothing is below nothing");
});

test("a logarithmic axis has equal room for equal factors", () => {
  const axis = { low: 1, high: 100, log: true };
  assert.ok(Math.abs(shareOf(10, axis) - 0.5) < 1e-12);
});

test("ticks are round, in sight, and a handful", () => {
  assert.deepEqual(ticks({ low: 0, high: 10, log: false }), [0, 5, 10]);
  assert.deepEqual(ticks({ low: -0.3, high: 0.31, log: false }), [-0.2, 0, 0.2]);
  assert.deepEqual(ticks({ low: 8, high: 180, log: true }), [10, 20, 50, 100]);
  assert.deepEqual(ticks({ low: 2, high: 400, log: true }), [3, 10, 30, 100, 300]);
  for (const [low, high] of [
    [1, 1.1],
    [3, 7],
    [0.001, 0.0042],
    [12, 12_000],
  ])
    for (const log of [true, false]) {
      const marks = ticks({ low, high, log });
      assert.ok(marks.length >= 2 && marks.length <= 12, `${low} to ${high}: ${marks}`);
      assert.ok(marks.every((v) => v >= low && v <= high * 1.001));
    }
});

test("smoothing keeps what is constant, follows what changes, and leaves gaps", () => {
  const level = smooth(
    [
      [0, 7],
      [1, 7],
      [2, 7],
    ],
    0.9,
  );
  assert.ok(level.every((point) => Math.abs(point[1] - 7) < 1e-12));
  const [, second, gap, last] = smooth(
    [
      [0, 0],
      [1, 3],
      [2, Number.NaN],
      [3, 3],
    ],
    0.5,
  );
  assert.ok(Math.abs(second[1] - 2) < 1e-12);
  assert.ok(Number.isNaN(gap[1]));
  assert.ok(last[1] > second[1] && last[1] < 3);
});

test("zooming keeps the place under the cursor, and ends at the whole", () => {
  assert.deepEqual(zoomRange([0, 10], 4, 0.5, 10), [2, 7]);
  assert.deepEqual(zoomRange([2, 7], 4, 2, 10), null);
  assert.deepEqual(zoomRange([4, 6], 5, 2, 10), [3, 7]);
});
