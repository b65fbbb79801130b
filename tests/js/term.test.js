import assert from "node:assert/strict";
import { test } from "node:test";

/** @type {any} */ (globalThis).document = {
  createElement: (/** @type {string} */ tag) => ({
    tag,
    attributes: /** @type {Record<string, string>} */ ({}),
    text: "",
    setAttribute(/** @type {string} */ name, /** @type {string} */ value) {
      this.attributes[name] = value;
    },
    append(/** @type {string[]} */ ...parts) {
      this.text += parts.join("");
    },
  }),
};
const { glossed } = await import("../../vae/ui/static/term.js");

/** @param {string} text */
const parts = (text) =>
  glossed(text).map((/** @type {any} */ part) =>
    typeof part === "string" ? part : { word: part.attributes["data-term"] },
  );

test("the glossary's words in a text are buttons, the rest stays as it is", () => {
  assert.deepEqual(parts("reconstruction + β · KL"), ["reconstruction + ", { word: "β" }, " · ", { word: "KL" }]);
  assert.deepEqual(parts("PSNR"), [{ word: "PSNR" }]);
  assert.deepEqual(parts("KLs priority"), ["KLs priority"]);
});
