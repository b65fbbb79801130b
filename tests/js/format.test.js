import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ago,
  duration,
  fileName,
  fileSize,
  latentShape,
  number,
  plural,
  shortName,
  twoDecimals,
  withArticle,
} from "../../vae/ui/static/format.js";

test("numbers have three significant digits, whole ones all of theirs", () => {
  assert.equal(number(27.6543), "27.7");
  assert.equal(number(0.98412), "0.984");
  assert.equal(number(0.00012345), "1.23e−4");
  assert.equal(number(444253), "444,253");
  assert.equal(number(1234.5), "1,235");
  assert.equal(number(-5363), "−5,363");
  assert.equal(number(0), "0");
});

test("what is no number is said without words", () => {
  assert.deepEqual(
    [null, undefined, Number.NaN].map((x) => number(x)),
    ["–", "–", "–"],
  );
  assert.deepEqual([number(Infinity), number(-Infinity)], ["∞", "−∞"]);
});

test("times are in the unit that suits them, and never have 60 of the next one", () => {
  assert.equal(duration(0.0134), "13.4 ms");
  assert.equal(duration(2.5), "2.50 s");
  assert.equal(duration(90), "1 min 30 s");
  assert.equal(duration(119.7), "2 min 0 s");
  assert.equal(duration(3599.8), "1 h 0 min");
  assert.equal(duration(7190), "2 h 0 min");
  assert.equal(duration(null), "–");
});

test("how long ago something was", () => {
  assert.equal(ago(59), "just now");
  assert.equal(ago(60), "1 minute ago");
  assert.equal(ago(7200), "2 hours ago");
  assert.equal(ago(86_400), "1 day ago");
});

test("one of something, many, and files", () => {
  assert.equal(plural(1, "sample"), "1 sample");
  assert.equal(plural(2500, "sample"), "2,500 samples");
  assert.deepEqual([fileSize(9.8e6), fileSize(334.6e6), fileSize(2.54e9)], ["9.8 MB", "335 MB", "2.5 GB"]);
  assert.equal(fileName("org/name to a@b.png"), "org-name-to-a-b.png");
  assert.equal(fileName("fashion-vae", "seed 3 to seed 4", "frame 17"), "fashion-vae-seed3-to-seed4-frame17");
});

test("of a path only its end is shown, of a Hub id all", () => {
  assert.equal(shortName("/home/me/models/vae/"), "models/vae");
  assert.equal(shortName("C:\\models\\vae", 1), "vae");
  assert.equal(shortName("org/name/folder@main"), "org/name/folder@main");
});

test("a latent's shape is that of the image where the model takes any size", () => {
  const sd = { latent_shape: /** @type {[number, number, number]} */ ([4, 32, 32]), image_size: 256 };
  assert.equal(latentShape({ ...sd, fixed_size: true }), "4 × 32 × 32");
  assert.equal(latentShape({ ...sd, fixed_size: false }), "4 × h/8 × w/8");
});

test("a slider's value has a minus sign only below zero", () => {
  assert.deepEqual([-1.256, -0.001, 0, 3].map(twoDecimals), ["−1.26", "0.00", "0.00", "3.00"]);
});

test("digits have their article", () => {
  assert.deepEqual(["8", "3", "18", "bag"].map(withArticle), ["an 8", "a 3", "18", "bag"]);
});
