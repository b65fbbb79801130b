// A slow tour of a map while nobody touches it: a closed way through the middles of the classes.

/** @import { Place } from "./map_geometry.js" */
import { poll } from "./dom.js";

const LEG = 24; // steps from one stop to the next
const STEP = 170; // ms
const SLOW = 800; // ms for a step, where images are decoded one by one
const LONGEST = 120_000; // ms, after which it rests: a forgotten page leaves the server in peace
const RING = 8; // stops where there are no classes

/**
 * The middle of each class; where there are none, a ring at one standard deviation.
 *
 * @param {Float32Array} points two numbers each
 * @param {number[] | null} labels
 * @returns {Place[]}
 */
export function tourStops(points, labels) {
  /** @type {Map<number, [number, number, number]>} the sums of each class, and how many it has */
  const sums = new Map();
  for (let i = 0; 2 * i < points.length; i++) {
    const [x, y, n] = sums.get(labels?.[i] ?? 0) ?? [0, 0, 0];
    sums.set(labels?.[i] ?? 0, [x + points[2 * i], y + points[2 * i + 1], n + 1]);
  }
  /** @type {Place[]} */
  const middles = [...sums.entries()].sort((a, b) => a[0] - b[0]).map(([, [x, y, n]]) => [x / n, y / n]);
  if (middles.length !== 1) return middles;
  const [[x, y]] = middles;
  const spread = [0, 1].map((axis) => {
    const squares = points.filter((_, i) => i % 2 === axis).map((value) => (value - middles[0][axis]) ** 2);
    return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length);
  });
  return [...Array(RING).keys()].map((k) => {
    const angle = (2 * Math.PI * k) / RING;
    return [x + spread[0] * Math.cos(angle), y + spread[1] * Math.sin(angle)];
  });
}

/**
 * A place on the smooth closed way through the stops (Catmull and Rom 1974).
 *
 * @param {Place[]} stops
 * @param {number} t in stops: at 0 it is the first, at 1 the second, and so on around
 * @returns {Place}
 */
export function tourPlace(stops, t) {
  const leg = Math.floor(t);
  const u = t - leg;
  const [a, b, c, d] = [-1, 0, 1, 2].map((k) => stops[(leg + k + stops.length) % stops.length]);
  /** @param {0 | 1} axis */
  const on = (axis) => {
    const [p, q, r, s] = [a[axis], b[axis], c[axis], d[axis]];
    return q + 0.5 * u * (r - p + u * (2 * p - 5 * q + 4 * r - s + u * (3 * (q - r) + s - p)));
  };
  return [on(0), on(1)];
}

/**
 * @template Frame
 * @param {object} options
 * @param {HTMLElement} options.node nothing moves while it is off the screen
 * @param {number} options.batch places asked for at once
 * @param {(places: Place[]) => Promise<Frame[] | null>} options.ask what is decoded there; null ends the tour
 * @param {(place: Place, frame: Frame) => void} options.show
 * @param {(running: boolean) => void} options.changed
 */
export function mapTour({ node, batch, ask, show, changed }) {
  /** @type {Place[]} */
  let stops = [];
  let step = 0;
  let until = 0;
  let running = false;
  /** @param {boolean} now */
  const run = (now) => {
    if (now === running) return;
    running = now;
    until = Date.now() + LONGEST;
    changed(running);
  };
  const tick = poll(node, STEP, async () => {
    if (!running || !stops.length) return;
    if (Date.now() > until) run(false);
    const places = [...Array(batch).keys()].map((k) => tourPlace(stops, (step + k) / LEG));
    const frames = await ask(places);
    if (!frames) run(false);
    for (let k = 0; frames && k < places.length && running; k++, step++) {
      show(places[k], frames[k]);
      await new Promise((done) => setTimeout(done, batch > 1 ? STEP : SLOW));
    }
  });
  return {
    /** @param {Place[]} on another map */
    setStops(on) {
      stops = on;
      step = 0;
    },
    start() {
      run(true);
      tick();
    },
    stop: () => run(false),
    isRunning: () => running,
  };
}
