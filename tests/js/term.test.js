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
    addEventListener() {},
    append(/** @type {string[]} */ ...parts) {
      this.text += parts.join("");
    },
  }),
};
const { glossed } = await import("../../vae/ui/static/term.js");
const { MEANINGS } = await import("../../vae/ui/static/glossary.js");

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

test("each of them has a meaning", () => {
  const words = Object.keys(MEANINGS);
  assert.deepEqual(
    parts(words.join(" ")).filter((part) => part !== " "),
    words.map((word) => ({ word })),
  );
});
