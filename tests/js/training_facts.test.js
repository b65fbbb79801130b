import assert from "node:assert/strict";
import { test } from "node:test";
import { hasStopped, isLive, trainingFacts } from "../../vae/ui/static/training_facts.js";

test("a run is live, or has stopped, or is done", () => {
  assert.deepEqual(["starting", "running", "stopped", undefined].map(isLive), [true, true, false, false]);
  assert.deepEqual(["interrupted", "stopped", "finished", "running"].map(hasStopped), [true, true, false, false]);
});

test("facts are those that are known", () => {
  assert.equal(trainingFacts({ state: "starting" }, undefined), "Getting the data ready");
  const running = { state: "running", epoch: 3.26, epochs: 30, images_per_second: 1234.5, seconds_left: 95.2 };
  assert.equal(trainingFacts(running, undefined), "epoch 3.26 of 30, 1,235 images a second, 1 min 35 s left");
  const done = { state: "finished", epochs: 30, seconds_left: 0, skipped: 1 };
  const row = { step: 300, loss: 9, val_loss: 8.494 };
  assert.equal(trainingFacts(done, row), "epoch 30 of 30, validation loss 8.49, 1 picture could not be read");
});
