import assert from "node:assert/strict";
import { test } from "node:test";
import { ASIS, channelRows, isEdited } from "../../vae/ui/static/latent_edits.js";

test("channels are cut out of the latent row by row", () => {
  const values = Float32Array.from([0, 1, 2, 3, 4, 5, -6, 7, 8, 9, 10, 11]);
  const { channels, limit } = channelRows(values, [2, 2, 3]);
  assert.deepEqual(channels, [
    [
      [0, 1, 2],
      [3, 4, 5],
    ],
    [
      [-6, 7, 8],
      [9, 10, 11],
    ],
  ]);
  assert.equal(limit, 11);
});

test("a large channel is thinned to what a small map can show", () => {
  const { channels } = channelRows(new Float32Array(130 * 70).fill(2), [1, 130, 70]);
  assert.equal(channels[0].length, 44);
  assert.equal(channels[0][0].length, 24);
  assert.equal(channels[0][43][23], 2);
});

test("a latent is edited once any channel is not as it was", () => {
  const edits = Array.from({ length: 3 }, ASIS);
  assert.equal(isEdited(edits), false);
  for (const edit of [{ source: 0 }, { scale: 0 }, { noise: 0.1 }])
    assert.equal(isEdited(edits.map((each, i) => (i === 1 ? { ...each, ...edit } : each))), true);
});
