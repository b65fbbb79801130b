// What a line chart computes before it draws: which points are in sight, the range of the values, where the ticks go.

/** @typedef {[at: number, value: number]} Point */

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {string} colour of the theme
 * @property {Point[]} points in order
 * @property {Point[]} [raw] the points behind a smoothed line
 * @property {boolean} [dots]
 * @property {boolean} [thin]
 */

/** How many points are at or before `at`. @param {Point[]} points @param {number} at */
export function countUpTo(points, at) {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last point at or before `at`. @param {Point[]} points @param {number} at @returns {Point | undefined} */
export const pointBefore = (points, at) => points[countUpTo(points, at) - 1];

/** The points between two places, and one on either side, so that the line goes on beyond the edge.
 * @param {Point[]} points @param {[number, number]} range */
export const pointsWithin = (points, [from, to]) =>
  points.slice(Math.max(0, countUpTo(points, from) - 1), countUpTo(points, to) + 1);

/** Where the longest of the series ends. @param {Series[]} series */
export const endOf = (series) => Math.max(0, ...series.map(({ points }) => points.at(-1)?.[0] ?? 0));

/**
 * The range of an axis that holds all values with a little room around them, on a logarithmic scale if that is wanted
 * and all values are above 0.
 *
 * @param {number[]} values
 * @param {boolean} wantsLog
 * @returns {{ low: number, high: number, log: boolean }}
 */
export function axisRange(values, wantsLog) {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return { low: 0, high: 1, log: false };
  if (wantsLog && low > 0) {
    const room = Math.max(1.02, (high / low) ** 0.03);
    return { low: low / room, high: high * room, log: true };
  }
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return { low: low === 0 ? 0 : low - room, high: high + room, log: false };
}

/** Where a value lies on such an axis: 0 at its low end, 1 at its high end.
 * @param {number} value @param {{ low: number, high: number, log: boolean }} axis */
export function shareOf(value, { low, high, log }) {
  if (log) return (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low));
  return (value - low) / (high - low);
}

/** Round values on an axis, a handful. @param {{ low: number, high: number, log: boolean }} axis @returns {number[]} */
export function ticks({ low, high, log }) {
  const marks = log ? logTicks(low, high) : [];
  return marks.length > 2 ? marks : linearTicks(low, high);
}

/** @param {number} low @param {number} high */
function linearTicks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * /** @type {number} */ ([1, 2, 5, 10].find((m) => m * power >= rough));
  const all = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step)
    all.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  return all;
}

/** @param {number} low @param {number} high */
function logTicks(low, high) {
  const spread = high / low;
  const steps = spread > 30 ? [1, 3] : spread > 3 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9];
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    all.push(...steps.map((step) => step * 10 ** power));
  return all.filter((v) => v >= low && v <= high);
}

/**
 * A moving average that forgets: each value weighs `weight` times its successor; the first ones count in full.
 *
 * @param {Point[]} points
 * @param {number} weight from 0 to below 1
 * @returns {Point[]}
 */
export function smooth(points, weight) {
  let sum = 0;
  let mass = 0;
  return points.map(([at, value]) => {
    if (!Number.isFinite(value)) return [at, value];
    sum = weight * sum + value;
    mass = weight * mass + 1;
    return [at, sum / mass];
  });
}

/**
 * The part of the horizontal axis to show after zooming around a place; null for all of it.
 *
 * @param {[number, number]} range that is shown
 * @param {number} at
 * @param {number} factor under 1 to come closer
 * @param {number} end of the data
 * @returns {[number, number] | null}
 */
export function zoomRange([from, to], at, factor, end) {
  const left = Math.max(0, at - (at - from) * factor);
  const right = Math.min(end, at + (to - at) * factor);
  return left <= 0 && right >= end ? null : [left, right];
}
