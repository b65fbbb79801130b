import assert from "node:assert/strict";
import { test } from "node:test";
import { freeColour, moreTerms, pointsOf, RUN_COLOURS, rowFields, seriesOf } from "../../vae/ui/static/curve_series.js";

/** @type {import("../../vae/ui/static/curve_series.js").RunCurve} */
const RUN = {
  name: "first",
  colour: "accent",
  perEpoch: 10,
  more: [],
  steps: [
    { step: 5, loss: 9, reconstruction: 7, kl: 2 },
    { step: 10, loss: 8, reconstruction: 6, kl: 2 },
    { step: 15, loss: 7, reconstruction: 5, kl: 2 },
  ],
  epochs: [
    { step: 10, loss: 8, reconstruction: 6, kl: 2, val_loss: 8.5, val_reconstruction: 6.5, val_kl: 2 },
    { step: 20, loss: 7, reconstruction: 5, kl: 2, val_loss: null, val_reconstruction: null, val_kl: null },
  ],
};
const ALL = { train: true, validation: true, smoothing: 0 };

test("a field stands against epochs, without the rows that lack it", () => {
  assert.deepEqual(pointsOf(RUN.steps, "loss", 10), [
    [0.5, 9],
    [1, 8],
    [1.5, 7],
  ]);
  assert.deepEqual(pointsOf(RUN.epochs, "val_loss", 10), [[1, 8.5]]);
});

test("one run has two lines, each of its own colour", () => {
  const [train, validation] = seriesOf([RUN], "kl", ALL);
  assert.deepEqual([train.label, train.points.at(-1), train.colour], ["train", [1.5, 2], "accent"]);
  assert.deepEqual([validation.label, validation.points, validation.colour], ["validation", [[1, 2]], "second"]);
});

test("several runs have one colour each, and their names", () => {
  const other = { ...RUN, name: "other", colour: "second", steps: [] };
  const lines = seriesOf([RUN, other], "loss", ALL);
  assert.deepEqual(
    lines.map(({ label, colour }) => [label, colour]),
    [
      ["first train", "accent"],
      ["validation", "accent"],
      ["other train", "second"],
      ["validation", "second"],
    ],
  );
  assert.deepEqual(
    lines[2].points,
    [
      [1, 8],
      [2, 7],
    ],
    "of a run without steps its epochs are drawn",
  );
  const alone = seriesOf([RUN, other], "loss", { ...ALL, train: false });
  assert.deepEqual(
    alone.map(({ label }) => label),
    ["first", "other"],
  );
});

test("a smoothed line keeps the raw one behind it", () => {
  const [train, validation] = seriesOf([RUN], "loss", { ...ALL, smoothing: 0.9 });
  assert.deepEqual(
    train.raw?.map((point) => point[1]),
    [9, 8, 7],
  );
  assert.ok(train.points[2][1] > 7);
  assert.equal(validation.raw, undefined, "a single point has nothing to smooth");
});

test("a run gets a colour that no other has", () => {
  assert.equal(freeColour(["accent", "run-3"]), "second");
  assert.equal(new Set(RUN_COLOURS).size, 6);
});

test("terms of a run's own stand after the usual ones, and on validation data at the end", () => {
  const usual = ["step", "loss", "kl", "val_loss", "val_kl"];
  assert.deepEqual(rowFields(usual, []), usual);
  const fields = ["step", "loss", "kl", "edges", "val_loss", "val_kl", "val_edges"];
  assert.deepEqual(rowFields(usual, ["edges"]), fields);
  const runs = [RUN, { ...RUN, more: ["edges", "style"] }, { ...RUN, more: ["edges"] }];
  assert.deepEqual(moreTerms(runs), ["edges", "style"]);
});
