// What the page says about a training.

/** @import { MetricRow, RunState } from "./types" */
import { duration, number, plural } from "./format.js";

/** @param {string | undefined} state */
export const isLive = (state) => state === "starting" || state === "running";

/** Whether a run can be continued as it is. @param {string | undefined} state */
export const hasStopped = (state) => state === "interrupted" || state === "stopped";

/** @param {RunState} state @param {MetricRow | undefined} lastEpoch */
export function trainingFacts(state, lastEpoch) {
  const { epoch, epochs, images_per_second, seconds_left, skipped } = state;
  const facts = [];
  if (epochs) facts.push(`epoch ${number(Math.min(epochs, epoch ?? epochs))} of ${number(epochs)}`);
  if (images_per_second) facts.push(`${number(images_per_second)} images a second`);
  if (isLive(state.state) && seconds_left !== undefined)
    facts.push(`${duration(Math.max(1, Math.round(seconds_left)))} left`);
  if (lastEpoch) facts.push(`validation loss ${number(lastEpoch.val_loss)}`);
  if (skipped) facts.push(`${plural(skipped, "picture")} could not be read`);
  return facts.join(", ") || "Getting the data ready";
}
