import assert from "node:assert/strict";
import { test } from "node:test";
import { dropSays, kindOf } from "../../vae/ui/static/file_drop.js";

test("what becomes of files that are dropped is said before they are", () => {
  const ends = ["it becomes end A", "it becomes end B"];
  assert.equal(dropSays("image", 1, ends), "Drop it anywhere: it becomes end A");
  assert.equal(dropSays("image", 2, ends), "Drop them anywhere: it becomes end A, it becomes end B");
  assert.equal(dropSays("image", 3, [ends[0]]), "Drop them anywhere: of the 3 files, the first: it becomes end A");
  const says = "Drop them anywhere: of the 3 files, the first 2: it becomes end A, it becomes end B";
  assert.equal(dropSays("image", 3, ends), says);
  assert.equal(dropSays("archive", 1, []), "Drop it anywhere: it opens in Train");
});

test("arrays and tables are to be learned from, as archives are", () => {
  for (const name of ["a.zip", "a.tar.gz", "a.NPY", "a.npz", "a.csv", "t10k-images-idx3-ubyte", "x-ubyte.gz"])
    assert.equal(kindOf({ name, type: "" }), "archive", name);
  for (const name of ["a.png", "zipper.jpg", "a"]) assert.equal(kindOf({ name, type: "" }), "image", name);
  assert.equal(kindOf({ type: "application/zip" }), "archive");
});
