// From rows of metrics to the lines of the three charts.

/** @import { MetricRow } from "./types" */
/** @import { Point, Series } from "./chart_data.js" */
import { smooth } from "./chart_data.js";

export const RUN_COLOURS = ["accent", "second", "run-3", "run-4", "run-5", "run-6"];

/**
 * A run's curves as the page keeps them.
 *
 * @typedef {object} RunCurve
 * @property {string} name
 * @property {string} colour
 * @property {number} perEpoch steps in an epoch
 * @property {string[]} more its terms besides loss, reconstruction and kl
 * @property {MetricRow[]} steps rows of the training: step, loss, reconstruction, kl
 * @property {MetricRow[]} epochs the same, and val_loss, val_reconstruction, val_kl
 */

/** The names of a row of a run that has `more` terms: after the usual ones, and on validation data at the end.
 * @param {string[]} usual those of a row without any @param {string[]} more @returns {string[]} */
export function rowFields(usual, more) {
  const onValidation = usual.filter((field) => field.startsWith("val_"));
  const first = usual.filter((field) => !field.startsWith("val_"));
  return [...first, ...more, ...onValidation, ...more.map((field) => `val_${field}`)];
}

/** The terms that some of the runs have besides the usual ones. @param {RunCurve[]} runs @returns {string[]} */
export const moreTerms = (runs) => [...new Set(runs.flatMap((run) => run.more))];

/** A field of rows against epochs; rows without it are left out.
 * @param {MetricRow[]} rows @param {string} field @param {number} perEpoch @returns {Point[]} */
export function pointsOf(rows, field, perEpoch) {
  /** @type {Point[]} */
  const points = [];
  for (const row of rows) {
    const value = row[field];
    if (value !== null && value !== undefined) points.push([row.step / perEpoch, value]);
  }
  return points;
}

/**
 * The lines of one term's chart.
 *
 * @param {RunCurve[]} runs in the order of drawing
 * @param {string} term loss, reconstruction, kl or another that a run has
 * @param {{ train: boolean, validation: boolean, smoothing: number }} shown smoothing: from 0 to below 1
 * @returns {Series[]}
 */
export function seriesOf(runs, term, { train, validation, smoothing }) {
  const several = runs.length > 1;
  /** @param {Point[]} points */
  const smoothed = (points) =>
    smoothing && points.length > 2 ? { points: smooth(points, smoothing), raw: points } : { points };
  return runs.flatMap(({ name, colour, perEpoch, steps, epochs }) => {
    /** @type {Series[]} */
    const lines = [];
    if (train) {
      const points = pointsOf(steps.length > 1 ? steps : epochs, term, perEpoch);
      lines.push({ label: several ? `${name} train` : "train", colour, thin: several, ...smoothed(points) });
    }
    if (validation) {
      const label = several && !train ? name : "validation";
      const points = pointsOf(epochs, `val_${term}`, perEpoch);
      lines.push({ label, colour: several ? colour : "second", dots: true, ...smoothed(points) });
    }
    return lines;
  });
}

/** A colour that none of these has. @param {string[]} taken @returns {string} */
export const freeColour = (taken) => RUN_COLOURS.find((colour) => !taken.includes(colour)) ?? RUN_COLOURS[0];
