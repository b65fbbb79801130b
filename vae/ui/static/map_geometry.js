// The arithmetic of a map of points: what it shows, where a Gaussian lies on it, which point is nearest.

/** @import { MapPrior } from "./types" */
import { clamp } from "./geometry.js";

/** @typedef {[number, number]} Place on the map */
/** @typedef {{ x: number, y: number, half: number }} Square its centre and half its side */

const TAIL = 0.003; // of the points, on each side, that the map's size does not depend on
const FAR = 0.3; // of the width of the others, as far as these are followed
const RADIUS_95 = 2.448; // standard deviations, within which 95% of a two-dimensional Gaussian lie
const CORNERS = 72;
const MOST_ZOOM = 16;

/** @param {ArrayLike<number>} sorted @param {number} q from 0 to 1 */
export const quantile = (sorted, q) => sorted[Math.round(q * (sorted.length - 1))];

/**
 * The square that holds all points but those far out, and all of the places besides.
 *
 * @param {Float32Array} points two numbers each
 * @param {Place[]} places
 * @returns {Square}
 */
export function squareAround(points, places) {
  const edges = [0, 1].map((axis) => {
    const values = points.filter((_, i) => i % 2 === axis).sort();
    const others = places.map((place) => place[axis]);
    const [from, to] = [quantile(values, TAIL), quantile(values, 1 - TAIL)];
    const far = FAR * (to - from);
    const low = Math.min(Math.max(values[0], from - far), ...others);
    const high = Math.max(Math.min(values[values.length - 1], to + far), ...others);
    return { low, high };
  });
  const [x, y] = edges.map(({ low, high }) => (low + high) / 2);
  const half = Math.max(...edges.map(({ low, high }) => high - low), 1e-6) / 2;
  return { x, y, half };
}

/** The outline within which 95% of the draws from a Gaussian lie. @param {MapPrior} prior @returns {Place[]} */
export function outlineOf({ centre, spread: [[a, b], [, d]] }) {
  // The covariance's Cholesky factor is [[l, 0], [m, n]].
  const l = Math.sqrt(Math.max(a, 1e-12));
  const m = b / l;
  const n = Math.sqrt(Math.max(d - m * m, 0));
  return [...Array(CORNERS + 1).keys()].map((k) => {
    const angle = (2 * Math.PI * k) / CORNERS;
    const x = RADIUS_95 * Math.cos(angle);
    const y = RADIUS_95 * Math.sin(angle);
    return [centre[0] + l * x, centre[1] + m * x + n * y];
  });
}

/**
 * Whether an outline lies near enough to a square to be shown with it.
 *
 * @param {Place[]} outline
 * @param {Square} square
 */
export const fitsNear = (outline, { x, y, half }) =>
  outline.every((place) => Math.hypot(place[0] - x, place[1] - y) < 2 * half);

/** The index of the point nearest to a place; null if there are none.
 * @param {Float32Array} points two numbers each @param {Place} place @returns {number | null} */
export function nearestPoint(points, [x, y]) {
  let found = null;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; 2 * i < points.length; i++) {
    const distance = (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
    if (distance < least) {
      found = i;
      least = distance;
    }
  }
  return found;
}

/**
 * The middle of each class's points, each coordinate's median; null for a class without any.
 *
 * @param {Float32Array} points two numbers each
 * @param {number[]} labels
 * @param {number} classes how many there are
 * @returns {(Place | null)[]}
 */
export function middles(points, labels, classes) {
  const median = (/** @type {number[]} */ values) =>
    quantile(
      values.sort((a, b) => a - b),
      0.5,
    );
  return [...Array(classes).keys()].map((label) => {
    const members = [...labels.keys()].filter((i) => labels[i] === label);
    if (!members.length) return null;
    return [median(members.map((i) => points[2 * i])), median(members.map((i) => points[2 * i + 1]))];
  });
}

/**
 * The places, moved so that no two are nearer to each other than `least`, where there is room for that.
 *
 * @param {Place[]} places
 * @param {number} least
 * @returns {Place[]}
 */
export function pushApart(places, least) {
  /** @type {Place[]} */
  const moved = places.map(([x, y]) => [x, y]);
  for (let round = 0; round < 30; round++)
    for (const [i, a] of moved.entries())
      for (const b of moved.slice(i + 1)) {
        const [x, y] = [b[0] - a[0], b[1] - a[1]];
        const distance = Math.hypot(x, y);
        if (distance >= least) continue;
        const [across, up] = distance ? [x / distance, y / distance] : [1, 0];
        const half = (least - distance) / 2;
        a[0] -= across * half;
        a[1] -= up * half;
        b[0] += across * half;
        b[1] += up * half;
      }
  return moved;
}

/**
 * The part of a map that is seen after a zoom about a place, which stays where it is; never more than the whole map.
 *
 * @param {Square} view
 * @param {Square} whole
 * @param {number} factor over 1 to see less of it, larger
 * @param {Place} [place] the middle if none is given
 * @returns {Square}
 */
export function zoomed(view, whole, factor, place = [view.x, view.y]) {
  const half = clamp(view.half / factor, whole.half / MOST_ZOOM, whole.half);
  const share = half / view.half;
  const x = place[0] + (view.x - place[0]) * share;
  const y = place[1] + (view.y - place[1]) * share;
  return within({ x, y, half }, whole);
}

/** A view of a map, moved into it where it leaves it. @param {Square} view @param {Square} whole @returns {Square} */
export function within({ x, y, half }, whole) {
  const room = Math.max(0, whole.half - half);
  return { x: clamp(x, whole.x - room, whole.x + room), y: clamp(y, whole.y - room, whole.y + room), half };
}

/**
 * The points inside an outline, as their indices.
 *
 * @param {Float32Array} points two numbers each
 * @param {Place[]} outline a polygon; its last corner is joined with the first
 */
export function pointsInside(points, outline) {
  /** @type {number[]} */
  const found = [];
  for (let i = 0; 2 * i < points.length; i++) {
    const [x, y] = [points[2 * i], points[2 * i + 1]];
    let inside = false;
    outline.forEach(([ax, ay], k) => {
      const [bx, by] = outline[(k || outline.length) - 1];
      if (ay > y !== by > y && x < ax + ((bx - ax) * (y - ay)) / (by - ay)) inside = !inside;
    });
    if (inside) found.push(i);
  }
  return found;
}

/**
 * From places in a square to pixels of a canvas and back; up is up.
 *
 * @param {Square} square
 * @param {number} size of the canvas
 * @param {number} pad pixels around the square
 */
export function projection({ x, y, half }, size, pad) {
  const scale = (size - 2 * pad) / (2 * half);
  return {
    /** @param {Place} place @returns {[number, number]} */
    toPixel: ([px, py]) => [size / 2 + (px - x) * scale, size / 2 - (py - y) * scale],
    /** @param {number} left @param {number} top @returns {Place} */
    toPlace: (left, top) => [x + (left - size / 2) / scale, y - (top - size / 2) / scale],
  };
}

/**
 * What is written for a class: its name if all are short, else its number.
 *
 * @param {string[]} classes
 * @param {number} i
 */
export const classMark = (classes, i) => (classes.every((name) => name.length <= 2) ? classes[i] : String(i));

/** Numbers that Python packed as float32 in base64. @param {string} text */
export const unpackFloats = (text) =>
  new Float32Array(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
