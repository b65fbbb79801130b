import assert from "node:assert/strict";
import test from "node:test";
import { priorFacts } from "../../vae/ui/static/training_prior.js";

test("how far a diffusion prior is, in words", () => {
  const at = { drawable: false, step: 120, steps: 2000 };
  assert.equal(priorFacts({ ...at, state: "starting", share: 0.456 }), "Encoding the images, 46%");
  assert.equal(priorFacts({ ...at, state: "running", seconds_left: 130.2 }), "update 120 of 2,000, 2 min 10 s left");
  assert.equal(priorFacts({ ...at, state: "running" }), "update 120 of 2,000");
  const stopped = { ...at, state: "stopped", reason: "Stopped on request." };
  assert.equal(priorFacts(stopped), "Stopped on request. It is at update 120 of 2,000.");
  assert.match(priorFacts({ drawable: true }), /^It has learned/);
});
