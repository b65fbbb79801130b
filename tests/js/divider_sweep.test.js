import assert from "node:assert/strict";
import { test } from "node:test";
import { placeAt } from "../../vae/ui/static/divider_sweep.js";

test("the divider goes to both sides and ends in the middle", () => {
  const places = [...Array(101).keys()].map((i) => placeAt(i / 100));
  assert.ok(Math.abs(places[0] - 50) < 1e-9 && Math.abs(places[100] - 50) < 1e-9);
  assert.ok(Math.max(...places) > 90 && Math.min(...places) < 10 && Math.max(...places) < 100);
  const steps = places.slice(1).map((place, i) => Math.abs(place - places[i]));
  assert.ok(Math.max(...steps) < 5, "it does not jump");
});
