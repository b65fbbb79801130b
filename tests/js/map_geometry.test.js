import assert from "node:assert/strict";
import { test } from "node:test";
import {
  classMark,
  fitsNear,
  nearestPoint,
  outlineOf,
  pointsInside,
  projection,
  quantile,
  squareAround,
  unpackFloats,
  within,
  zoomed,
} from "../../vae/ui/static/map_geometry.js";

const POINTS = new Float32Array([0, 0, 4, 1, -2, 3]);

test("the square holds points and places", () => {
  assert.deepEqual(squareAround(POINTS, []), { x: 1, y: 1.5, half: 3 });
  assert.deepEqual(squareAround(POINTS, [[10, 0]]), { x: 4, y: 1.5, half: 6 });
});

test("a few points far out do not make the map small", () => {
  const many = new Float32Array(2 * 1000).map(() => Math.random());
  many[0] = 1e6;
  assert.ok(squareAround(many, []).half < 1);
  many[0] = 1.2; // but one a little outside is on it
  const { x, half } = squareAround(many, []);
  assert.ok(x + half >= 1.2 && half < 0.7);
});

test("the outline of N(0, I) is a circle, and of a wide Gaussian as wide", () => {
  const circle = outlineOf({
    centre: [1, 2],
    spread: [
      [1, 0],
      [0, 1],
    ],
  });
  for (const [x, y] of circle) assert.ok(Math.abs(Math.hypot(x - 1, y - 2) - 2.448) < 1e-9);
  const wide = outlineOf({
    centre: [0, 0],
    spread: [
      [9, 0],
      [0, 1],
    ],
  });
  assert.ok(Math.abs(Math.max(...wide.map((place) => place[0])) - 3 * 2.448) < 1e-9);
});

test("the outline follows the covariance", () => {
  const spread = [
    [2, 1.2],
    [1.2, 1],
  ];
  const places = outlineOf({ centre: [0, 0], spread });
  const determinant = 2 * 1 - 1.2 ** 2;
  for (const [x, y] of places) {
    const distance = (1 * x * x - 2 * 1.2 * x * y + 2 * y * y) / determinant; // Mahalanobis, squared
    assert.ok(Math.abs(distance - 2.448 ** 2) < 1e-6);
  }
});

test("an outline far away is not shown", () => {
  const square = { x: 0, y: 0, half: 1 };
  assert.ok(fitsNear([[1.5, 1]], square));
  assert.ok(
    !fitsNear(
      [
        [0, 0],
        [5, 0],
      ],
      square,
    ),
  );
});

test("the nearest point is found, if there is one", () => {
  assert.equal(nearestPoint(POINTS, [3, 1]), 1);
  assert.equal(nearestPoint(POINTS, [-9, 9]), 2);
  assert.equal(nearestPoint(new Float32Array(), [0, 0]), null);
});

test("places become pixels and pixels places; up is up", () => {
  const { toPixel, toPlace } = projection({ x: 1, y: 1.5, half: 3 }, 400, 20);
  assert.deepEqual(toPixel([1, 1.5]), [200, 200]);
  assert.deepEqual(toPixel([4, 4.5]), [380, 20]);
  const [x, y] = toPlace(...toPixel([-0.7, 2.2]));
  assert.ok(Math.abs(x + 0.7) < 1e-12 && Math.abs(y - 2.2) < 1e-12);
});

test("classes are written by name if all are short", () => {
  assert.equal(classMark(["0", "1"], 1), "1");
  assert.equal(classMark(["bag", "coat"], 1), "1");
  assert.equal(quantile([1, 2, 3, 4, 5], 0.5), 3);
});

test("numbers come as Python packs them", () => {
  const packed = Buffer.from(new Float32Array([1.5, -2]).buffer).toString("base64");
  assert.deepEqual([...unpackFloats(packed)], [1.5, -2]);
});

test("a zoom keeps the place under the pointer, and the view on the map", () => {
  const whole = { x: 0, y: 0, half: 8 };
  const near = zoomed(whole, whole, 2, [4, 2]);
  assert.deepEqual(near, { x: 2, y: 1, half: 4 });
  assert.deepEqual(projection(near, 100, 0).toPixel([4, 2]), projection(whole, 100, 0).toPixel([4, 2]));
  assert.deepEqual(zoomed(near, whole, 0.1, [4, 2]), whole, "never more than the whole");
  assert.ok(zoomed(whole, whole, 1e9).half > 0.1, "nor so near that nothing is seen");
  assert.deepEqual(within({ x: 100, y: -100, half: 4 }, whole), { x: 4, y: -4, half: 4 });
});

test("the points inside an outline, also of one that is not convex", () => {
  const points = new Float32Array([1, 1, 5, 1, 3, 4, 9, 9]);
  /** @type {[number, number][]} */
  const notched = [
    [0, 0],
    [6, 0],
    [6, 6],
    [3, 2],
    [0, 6],
  ];
  assert.deepEqual(pointsInside(points, notched), [0, 1]);
  assert.deepEqual(pointsInside(points, []), []);
});
