import assert from "node:assert/strict";
import { test } from "node:test";
import { middles, pushApart } from "../../vae/ui/static/map_geometry.js";
import { paintStrokes, placeInWords, stepBrush, strokeList } from "../../vae/ui/static/strokes.js";

test("strokes are drawn, taken back and cleared, and clearing is taken back, too", () => {
  const strokes = strokeList();
  assert.equal(strokes.canUndo(), false);
  assert.equal(strokes.extend([0.5, 0.5]), false, "there is nothing to lead on");
  strokes.begin("red", [0.1, 0.1]);
  assert.equal(strokes.extend([0.2, 0.1]), true);
  assert.equal(strokes.extend([0.2, 0.1001]), false, "hardly moved");
  strokes.begin("blue", [0.5, 0.5]);
  assert.deepEqual(
    strokes.all().map(({ colour, points }) => [colour, points.length]),
    [
      ["red", 2],
      ["blue", 1],
    ],
  );
  assert.equal(strokes.clear(), true);
  assert.equal(strokes.clear(), false, "it is clear already");
  assert.equal(strokes.all().length, 0);
  strokes.undo();
  assert.equal(strokes.all().length, 2);
  strokes.undo();
  assert.deepEqual(strokes.all(), [
    {
      colour: "red",
      points: [
        [0.1, 0.1],
        [0.2, 0.1],
      ],
    },
  ]);
  strokes.undo();
  assert.equal(strokes.undo(), false);
});

test("arrow keys move the brush and keep it on the pad", () => {
  assert.deepEqual(stepBrush([0.5, 0.5], [0, -1], false), [0.5, 0.5 - 1 / 28]);
  assert.deepEqual(stepBrush([0.5, 0.5], [1, 0], true), [0.5 + 4 / 28, 0.5]);
  assert.deepEqual(stepBrush([0.01, 1], [-1, 0], false), [0, 1]);
  assert.equal(placeInWords([0.25, 1]), "25% from the left, 100% from the top");
});

test("strokes are painted at the size that is asked for, in one ink or each in its own", () => {
  /** @type {unknown[]} */
  const said = [];
  const c = {
    beginPath() {},
    fillRect: (/** @type {number[]} */ ...box) => said.push(["paper", c.fillStyle, ...box]),
    moveTo: (/** @type {number[]} */ ...at) => said.push(["from", ...at]),
    quadraticCurveTo: (/** @type {number[]} */ ...at) => said.push(["curve", ...at]),
    lineTo: (/** @type {number[]} */ ...at) => said.push(["to", ...at]),
    stroke: () => said.push(["stroke", c.strokeStyle]),
    fillStyle: "",
    strokeStyle: "",
  };
  const context = /** @type {any} */ (c);
  /** @type {import("../../vae/ui/static/strokes.js").Stroke[]} */
  const strokes = [
    {
      colour: "red",
      points: [
        [0, 0],
        [0.5, 1],
      ],
    },
    { colour: "blue", points: [[0.5, 0.5]] },
  ];
  paintStrokes(context, strokes, 10, { paper: "white", ink: null });
  assert.deepEqual(said, [
    ["paper", "white", 0, 0, 10, 10],
    ["from", 0, 0],
    ["curve", 0, 0, 2.5, 5],
    ["to", 5, 10],
    ["stroke", "red"],
    ["from", 5, 5],
    ["to", 5, 5],
    ["stroke", "blue"],
  ]);
  said.length = 0;
  paintStrokes(context, strokes, 10, { paper: "black", ink: "white" });
  assert.deepEqual(
    said.filter((what) => Array.isArray(what) && what[0] === "stroke"),
    [
      ["stroke", "white"],
      ["stroke", "white"],
    ],
  );
});

test("a class's mark stands amid its points, and no mark over another", () => {
  const points = new Float32Array([0, 0, 2, 8, 1, 1, 50, 50]);
  assert.deepEqual(middles(points, [0, 0, 0, 2], 3), [[1, 1], null, [50, 50]]);
  const [a, b, c] = pushApart(
    [
      [0, 0],
      [4, 0],
      [40, 0],
    ],
    12,
  );
  assert.deepEqual(
    [a, b, c],
    [
      [-4, 0],
      [8, 0],
      [40, 0],
    ],
  );
  const [d, e] = pushApart(
    [
      [3, 3],
      [3, 3],
    ],
    10,
  );
  assert.equal(Math.hypot(d[0] - e[0], d[1] - e[1]), 10);
});
