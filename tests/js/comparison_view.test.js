import assert from "node:assert/strict";
import { test } from "node:test";
import {
  amplifiedDifference,
  areComparable,
  bestOf,
  limitsOf,
  mostAlike,
  panned,
  seenPart,
  settled,
  wheelFactor,
  zoomed,
} from "../../vae/ui/static/comparison_view.js";

/** @param {number} size @param {number} extent of what it shows, in the picture's pixels @param {boolean} [grey] */
const image = (size, extent, grey = true) => ({
  width: size,
  height: size,
  box: /** @type {[number, number, number, number]} */ ([0, 0, extent, extent]),
  grey,
});
const limits = (/** @type {ReturnType<typeof image>[]} */ ...images) => {
  const found = limitsOf(images, 500, 1);
  assert.ok(found);
  return found;
};
const FITTED = { x: 0, y: 0, zoom: 1, fitted: true };
const close = (/** @type {number} */ a, /** @type {number} */ b) =>
  assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("small images fit by whole pixels, photographs fill the pane", () => {
  assert.equal(limits(image(32, 32)).fit, 15);
  assert.equal(limits(image(512, 512)).fit, 500 / 512);
  assert.equal(limitsOf([], 500, 1), null);
});

test("the finest image says how far one may zoom in", () => {
  close(limits(image(64, 256), image(128, 256)).most, 40 / 2);
});

test("a fitted view shows all, in the middle", () => {
  assert.deepEqual(settled(FITTED, limits(image(32, 32))), { x: 16, y: 16, zoom: 15, fitted: true });
});

test("zooming keeps the point under the pointer", () => {
  const at = limits(image(512, 512));
  const before = settled(FITTED, at);
  const after = zoomed(before, at, 3, 100, -50);
  close(before.x + 100 / before.zoom, after.x + 100 / after.zoom);
  close(before.y - 50 / before.zoom, after.y - 50 / after.zoom);
  assert.equal(after.fitted, false);
});

test("zooming out again shows all, and one cannot zoom without end", () => {
  const at = limits(image(512, 512));
  const near = zoomed(settled(FITTED, at), at, 1e6);
  assert.equal(near.zoom, at.most);
  assert.deepEqual(zoomed(near, at, 1e-6), settled(FITTED, at));
});

test("one cannot move beyond the edges", () => {
  const at = limits(image(512, 512));
  const near = zoomed(settled(FITTED, at), at, 4);
  const far = panned(near, at, 1e6, -1e6);
  close(far.x + at.side / far.zoom / 2, 512);
  close(far.y - at.side / far.zoom / 2, 0);
  close(panned(near, at, 10, 0).x - near.x, 10 / near.zoom);
});

test("only what is seen is drawn, and all of it", () => {
  assert.deepEqual(seenPart(0, 10, 32, 500), [0, 32]);
  const [first, count] = seenPart(-1000, 10, 512, 500);
  assert.ok(first <= 100 && first >= 98 && first + count >= 150 && first + count <= 152);
  assert.ok(seenPart(600, 10, 32, 500)[1] <= 0, "it lies outside");
});

test("the wheel zooms in upwards, a little at a time", () => {
  assert.ok(wheelFactor(-100, false) > 1 && wheelFactor(100, false) < 1);
  assert.equal(wheelFactor(1e6, false), wheelFactor(60, false));
  assert.equal(wheelFactor(3, true), wheelFactor(60, false));
});

test("the difference is amplified in each colour, and opaque", () => {
  const a = new Uint8ClampedArray([10, 200, 30, 255]);
  const b = new Uint8ClampedArray([20, 100, 30, 0]);
  assert.deepEqual([...amplifiedDifference(a, b, 5)], [50, 255, 0, 255]);
});

test("figures are compared only where all are of the same thing", () => {
  assert.ok(areComparable([image(32, 32), image(32, 32)]) && areComparable([]));
  assert.ok(!areComparable([image(32, 32), image(64, 32)]));
  assert.ok(!areComparable([image(32, 32), image(32, 32, false)]));
  assert.equal(bestOf([20, 25, 22], true), 25);
  assert.equal(bestOf([20, 25], false), null);
  assert.equal(bestOf([20, undefined], true), null);
  assert.equal(bestOf([20, 20], true), null);
  assert.equal(bestOf([20], true), null);
});

test("a model is compared with the one most like it", () => {
  const digits = { family: "conv", image_size: 32 };
  const models = [
    { name: "dogs", trained_on: "Dogs", family: "kl", image_size: 64, kind: "bundled" },
    { name: "fashion", trained_on: "Fashion-MNIST", kind: "bundled", ...digits },
    { name: "small", trained_on: "MNIST", kind: "bundled", ...digits },
  ];
  const live = { name: "run-1", trained_on: "digits", kind: "live", ...digits };
  assert.equal(mostAlike(live, models), "fashion");
  assert.equal(mostAlike({ ...live, trained_on: "MNIST" }, models), "small");
  assert.equal(mostAlike(undefined, models), "dogs");
  assert.equal(mostAlike(live, []), undefined);
});
