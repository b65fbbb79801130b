// A small map of a latent space, and a dot for where a drawing lies on it.

/** @import { Place } from "./map_geometry.js" */
import { context2d, fontFamily, h, pixelRatio, themeColour } from "./dom.js";
import { withArticle } from "./format.js";
import { clamp } from "./geometry.js";
import { classMark, middles, projection, pushApart, squareAround } from "./map_geometry.js";

const PAD = 8; // pixels around the points
const APART = 12; // pixels between two classes' marks
const MOST_CLASSES = 12; // whose marks have room

/** @typedef {{ points: Float32Array, labels: number[] | null, classes: string[] | null }} Points two numbers each */

/** @param {number} size in CSS pixels */
export function smallMap(size) {
  const canvas = h("canvas", { role: "img", class: "vs-small-map" });
  const says = h("span");
  /** @type {Points | null} */
  let map = null;
  /** @type {Place | null} */
  let dot = null;

  /** @param {CanvasRenderingContext2D} c @param {Points} map @param {(place: Place) => Place} toPixel */
  const paintPoints = (c, { points, labels, classes }, toPixel) => {
    const colours = (classes ?? []).map((_, i) => themeColour(`class-${i % 10}`));
    const plain = themeColour("second");
    c.globalAlpha = 0.4;
    for (let i = 0; 2 * i < points.length; i++) {
      c.fillStyle = labels ? colours[labels[i]] : plain;
      c.beginPath();
      c.arc(...toPixel([points[2 * i], points[2 * i + 1]]), 1.3, 0, 7);
      c.fill();
    }
    c.globalAlpha = 1;
    if (!labels || !classes || classes.length > MOST_CLASSES) return;
    c.font = `700 12px ${fontFamily()}`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.lineWidth = 3;
    c.lineJoin = "round";
    c.strokeStyle = themeColour("card");
    const found = middles(points, labels, classes.length);
    const seen = [...found.keys()].filter((i) => found[i]);
    const places = seen.map((i) => toPixel(/** @type {Place} */ (found[i])));
    pushApart(places, APART).forEach((place, k) => {
      const mark = classMark(classes, seen[k]);
      c.fillStyle = colours[seen[k]];
      c.strokeText(mark, ...place);
      c.fillText(mark, ...place);
    });
  };
  const draw = () => {
    const c = context2d(canvas);
    canvas.width = canvas.height = Math.round(size * pixelRatio());
    canvas.style.width = canvas.style.height = `${size}px`;
    c.scale(pixelRatio(), pixelRatio());
    c.fillStyle = themeColour("sunken");
    c.fillRect(0, 0, size, size);
    if (!map) return;
    const { toPixel } = projection(squareAround(map.points, []), size, PAD);
    paintPoints(c, map, toPixel);
    if (!dot) return;
    const [x, y] = toPixel(dot).map((at) => clamp(at, PAD, size - PAD)); // at the edge, where it lies further out
    c.beginPath();
    c.arc(x, y, 5.5, 0, 7);
    c.fillStyle = themeColour("accent");
    c.lineWidth = 3;
    c.strokeStyle = themeColour("card");
    c.stroke();
    c.fill();
  };
  return {
    node: canvas,
    says,
    draw,
    /** @param {Points | null} found */
    set(found) {
      map = found;
      this.move(null, null);
    },
    /** @param {Place | null} place @param {string | null} nearest the class of the nearest picture */
    move(place, nearest) {
      dot = place;
      const near = nearest === null ? "" : `nearest: ${withArticle(nearest)}`;
      says.textContent = near;
      canvas.setAttribute("aria-label", `Where the drawing lies among the data set's pictures${near && `; ${near}`}`);
      draw();
    },
  };
}
