import assert from "node:assert/strict";
import { test } from "node:test";
import { postScale } from "../../vae/ui/static/post.js";

test("a post shows small images by whole factors, photographs as large as they get", () => {
  assert.equal(postScale(32, 32, true), 31);
  assert.equal(postScale(168, 168, true), 6);
  assert.equal(postScale(2000, 1000, true), 0.508);
  assert.equal(postScale(256, 128, false), 1016 / 256);
});
