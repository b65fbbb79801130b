// The field's words, as buttons that say what they mean; glossary.js has the meanings.

import { h } from "./dom.js";

const WORDS = /\b(KL|nats|PSNR|SSIM|prior)\b|β/;

/** @param {string} word that the glossary has */
export const term = (word) => h("button", { type: "button", class: "vs-term", "data-term": word }, word);

/** The text, in which the glossary's words are buttons. @param {string} text @returns {(string | HTMLElement)[]} */
export function glossed(text) {
  const found = WORDS.exec(text);
  if (!found) return [text];
  const after = found.index + found[0].length;
  return [text.slice(0, found.index), term(found[0]), ...glossed(text.slice(after))].filter((part) => part !== "");
}
