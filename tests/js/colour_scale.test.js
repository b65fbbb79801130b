import assert from "node:assert/strict";
import { test } from "node:test";
import { gradient, mix, rgb, scaleColour } from "../../vae/ui/static/colour_scale.js";

test("colours are read and mixed", () => {
  assert.deepEqual(rgb("#1B5E9B"), [27, 94, 155]);
  assert.deepEqual(mix([0, 100, 200], [100, 0, 200], 0.25), [25, 75, 200]);
});

for (const dark of [false, true]) {
  test(`values below and above zero differ, and the ends hold, ${dark ? "dark" : "light"}`, () => {
    const scale = { dark, diverging: true };
    const zero = scaleColour(0, scale);
    assert.notDeepEqual(scaleColour(-0.5, scale), scaleColour(0.5, scale));
    assert.deepEqual(scaleColour(-3, scale), scaleColour(-1, scale));
    assert.deepEqual(scaleColour(3, scale), scaleColour(1, scale));
    const only = { dark, diverging: false };
    assert.deepEqual(scaleColour(0, only), zero);
    assert.deepEqual(scaleColour(-1, only), zero);
    assert.deepEqual(scaleColour(2, only), scaleColour(1, only));
  });
}

test("the gradient shows the scale from its low end to its high end", () => {
  const scale = { dark: false, diverging: true };
  const stops = gradient(scale).match(/rgb\([\d,]+\)/g) ?? [];
  assert.equal(stops.length, 9);
  assert.equal(stops[0], `rgb(${scaleColour(-1, scale)})`);
  assert.equal(stops[4], `rgb(${scaleColour(0, scale)})`);
  assert.equal(stops[8], `rgb(${scaleColour(1, scale)})`);
});
