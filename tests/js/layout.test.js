// Sizes of images, and where they stand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cellOf, clamp, directionOf } from "../../vae/ui/static/geometry.js";
import { squareGrid } from "../../vae/ui/static/grid_layout.js";
import { enlargement } from "../../vae/ui/static/pixel_scale.js";

test("small images are enlarged by whole device pixels, photographs to fit", () => {
  assert.equal(enlargement(32, 500, 1), 15);
  assert.equal(enlargement(32, 500, 2), 15.5);
  assert.equal(enlargement(28, 20, 1), 20 / 28, "there is no room for whole ones");
  assert.equal(enlargement(512, 300, 1), 300 / 512);
});

test("images stand in rows", () => {
  const sprite = { columns: 3, width: 10, height: 20 };
  assert.deepEqual(
    [0, 2, 3, 7].map((i) => cellOf(i, sprite)),
    [
      [0, 0],
      [20, 0],
      [0, 20],
      [10, 40],
    ],
  );
});

test("a square number of images makes a square", () => {
  const { scale, columns } = squareGrid({ n: 25, width: 32, height: 32 }, 376, 4, 1);
  assert.deepEqual([scale, columns], [2, 5]);
});

test("a grid stays within its square, and no columns would make larger cells", () => {
  for (const n of [1, 2, 3, 7, 25, 100, 256])
    for (const [width, height] of [
      [32, 32],
      [64, 32],
      [256, 256],
    ]) {
      const room = 500;
      const { scale, columns } = squareGrid({ n, width, height }, room, 4, 1);
      const rows = Math.ceil(n / columns);
      assert.ok(scale > 0 && columns <= n);
      assert.ok(columns * width * scale + (columns - 1) * 4 <= room + 1e-9, `${n} of ${width}: too wide`);
      assert.ok(rows * height * scale + (rows - 1) * 4 <= room + 1e-9, `${n} of ${height}: too high`);
    }
});

test("keys and limits", () => {
  assert.deepEqual(directionOf("ArrowUp"), [0, -1]);
  assert.equal(directionOf("Enter"), undefined);
  assert.deepEqual(
    [-3, 4, 9].map((v) => clamp(v, 0, 5)),
    [0, 4, 5],
  );
});
