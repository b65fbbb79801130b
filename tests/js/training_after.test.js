import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedLink } from "../../vae/ui/static/training_after.js";

test("a shared link opens the run's samples, and tells nothing else of where one was", () => {
  const here = "https://studio.example.org/app/?tab=train&run=other&model=mnist-vae#foot";
  assert.equal(sharedLink("my run", here), "https://studio.example.org/app/?tab=sample&model=my+run");
});
