// A button that leads to a run in the Train tab, where its map and its priors are made.

import { button } from "./dom.js";
import { tell } from "./topics.js";

/** @param {string} run */
export const runButton = (run) =>
  button("Go to the run", () => tell("open-link", `?${new URLSearchParams({ tab: "train", model: run, run })}`));
