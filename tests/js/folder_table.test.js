import assert from "node:assert/strict";
import test from "node:test";
import {
  areAlike,
  barOf,
  csv,
  figureOf,
  imageLines,
  modelLines,
  percentilesOf,
  shownColumns,
  sorted,
  worstFirst,
} from "../../vae/ui/static/folder_table.js";

/** @param {string} name @param {object} row @param {Record<string, (number | null)[]>} [columns] */
const rowOf = (name, row, columns = { psnr: [20, null, 10], ssim: [0.5, 1, 0.75] }, side = 32) => ({
  letter: name.toUpperCase(),
  name,
  title: name,
  error: null,
  measured: /** @type {import("../../vae/ui/static/types").Measured} */ ({
    row: { images: 3, percentiles: { psnr: { 5: 10, 50: 20 } }, ...row },
    images: { numbers: [4, 7, 9], names: ["a.png", 'b "2".png', "c,d.png"], columns },
    shape: [side, 1, 2],
    wanted: 3,
    of: 3,
  }),
});
const refused = { letter: "X", name: "x", title: "x", error: "No.", measured: null };
const a = rowOf("a", { psnr: 15, ssim: 0.75, fid: 3, fid_features: "EfficientNet-Lite0" });
const b = rowOf("b", { psnr: 18, ssim: null });

test("rows are sorted either way, and those without the figure come last", () => {
  const names = (/** @type {any[]} */ rows) => rows.map(({ name }) => name).join("");
  assert.equal(names(sorted([refused, a, b], "psnr", true)), "bax");
  assert.equal(names(sorted([refused, b, a], "psnr", false)), "abx");
  assert.equal(names(sorted([b, a], "ssim", true)), "ab");
  assert.equal(names(sorted([b, a], null, true)), "ba");
});

test("columns are those that some row has", () => {
  assert.deepEqual(
    shownColumns([a, b, refused]).map(({ key }) => key),
    ["psnr", "ssim", "fid"],
  );
});

test("images that came back as they were have an infinite PSNR and are the best", () => {
  assert.equal(figureOf(rowOf("c", { psnr: null, exact: 3 }), "psnr"), Number.POSITIVE_INFINITY);
  assert.equal(figureOf(rowOf("c", { psnr: null }), "psnr"), null);
  assert.deepEqual(worstFirst(a.measured, "psnr"), [2, 0, 1]);
  assert.deepEqual(worstFirst(rowOf("c", {}, { delta_e: [1, 5, null] }).measured, "delta_e"), [1, 0, 2]);
});

test("percentiles are said in words", () => {
  assert.equal(percentilesOf(a, "psnr"), "5% of the images: 10 or less\n50% of the images: 20 or less");
  assert.equal(percentilesOf(a, "parameters") + percentilesOf(refused, "psnr"), "");
});

test("bars reach as far as the value does of the largest", () => {
  assert.equal(barOf(5, [5, 10, null, Number.POSITIVE_INFINITY]), 0.5);
  assert.equal(barOf(Number.POSITIVE_INFINITY, [10]), 1);
  assert.equal(barOf(null, [10]), 0);
  assert.equal(barOf(0, [0, 0]), 0);
});

test("figures are compared only where the models saw the same", () => {
  assert.ok(areAlike([a, b, refused]));
  assert.ok(!areAlike([a, rowOf("c", {}, undefined, 64)]));
});

test("files have a line an image and a line a model, quoted where need be", () => {
  const lines = csv(imageLines([a, refused])).split("\r\n");
  assert.deepEqual(lines.slice(0, 3), ["model,image,psnr,ssim", "a,a.png,20,0.5", 'a,"b ""2"".png",,1']);
  assert.equal(lines[3], 'a,"c,d.png",10,0.75');
  const [head, first] = modelLines([a, b, refused]);
  const found = Object.fromEntries(head.map((key, i) => [key, first[i]]));
  assert.equal(found.fid_features, "EfficientNet-Lite0");
  assert.equal(found.psnr_5, 10);
  assert.equal(found.model, "a");
  assert.equal(found.size, 32);
});
