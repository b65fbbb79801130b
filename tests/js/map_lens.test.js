import assert from "node:assert/strict";
import { test } from "node:test";
import { lensPlace } from "../../vae/ui/static/map_lens.js";

const ROOM = { left: -20, top: -100, right: 380, bottom: 700 };

test("beside the mouse, above it, and never over it or off the screen", () => {
  for (const x of [0, 150, 379])
    for (const y of [-90, 0, 300, 699]) {
      const [left, top] = lensPlace([x, y], ROOM, false);
      assert.ok(left >= ROOM.left && left + 128 <= ROOM.right && top >= ROOM.top, `${x}, ${y}`);
      assert.ok(top + 128 <= ROOM.bottom, `${x}, ${y}`);
      assert.ok(left > x || left + 128 < x, "beside it");
    }
});

test("above the finger, where there is room; else beside it", () => {
  assert.deepEqual(lensPlace([180, 200], ROOM, true), [116, 32]);
  assert.deepEqual(lensPlace([0, 200], ROOM, true), [-20, 32], "kept on the screen");
  const [left, top] = lensPlace([180, -60], ROOM, true);
  assert.ok(top >= ROOM.top && (left > 180 || left + 128 < 180));
});
