import assert from "node:assert/strict";
import { test } from "node:test";
import { middleFirst, nextPreviews, previewKey, wantedOf, withMore } from "../../vae/ui/static/preview_order.js";

/** @type {import("../../vae/ui/static/types").PreviewMoment[]} */
const MOMENTS = [
  { step: 0, epoch: 0, samples: 1, reconstruction: 1 },
  { step: 10, epoch: 1, samples: 1, reconstruction: 1 },
  { step: 20, epoch: 2, samples: 1, reconstruction: 0 },
  { step: 30, epoch: 3, samples: 0, reconstruction: 1 },
];
const nothing = () => false;

test("a moment wants what it has and what is not known", () => {
  assert.deepEqual(wantedOf(MOMENTS[1], nothing), [
    ["samples", 10],
    ["reconstruction", 10],
  ]);
  assert.deepEqual(wantedOf(MOMENTS[3], nothing), [["reconstruction", 30]]);
  assert.deepEqual(
    wantedOf(MOMENTS[2], (key) => key === previewKey("samples", 20)),
    [],
  );
  assert.deepEqual(wantedOf(undefined, nothing), []);
});

test("every moment has its turn once, the middle first", () => {
  for (const n of [0, 1, 2, 5, 16, 33]) {
    const order = middleFirst(n);
    assert.deepEqual(
      [...order].sort((a, b) => a - b),
      [...Array(n).keys()],
    );
  }
  assert.equal(middleFirst(15)[0], 8);
});

test("what is looked at comes first, and no answer is too large", () => {
  const now = { at: 3, hurry: true, ahead: true, most: 3 };
  const wanted = nextPreviews(MOMENTS, now, nothing);
  assert.deepEqual(wanted[0], ["reconstruction", 30]);
  assert.equal(wanted.length, 3);
  assert.deepEqual(nextPreviews(MOMENTS, { ...now, hurry: false, ahead: false }, nothing), []);
  const all = nextPreviews(MOMENTS, { ...now, most: 99 }, nothing);
  assert.equal(all.length, 6);
  assert.equal(new Set(all.map((each) => previewKey(...each))).size, 6);
});

test("a training told anew replaces what came after", () => {
  assert.deepEqual(withMore(MOMENTS, []), MOMENTS);
  assert.deepEqual(
    withMore(MOMENTS, [{ step: 20, epoch: 2, samples: 1 }]).map(({ step }) => step),
    [0, 10, 20],
  );
  assert.deepEqual(withMore(MOMENTS, [{ step: 40, epoch: 4, samples: 1 }]).length, 5);
});
