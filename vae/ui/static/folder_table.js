// What was measured of models on a folder, as rows: which figures there are, in which order, and as files.

/** @import { Measured } from "./types" */
import { number } from "./format.js";

/**
 * @typedef {object} Column
 * @property {string} key of a row
 * @property {string} head
 * @property {string} [unit]
 * @property {1 | -1} better 1: the more the better; -1: the less
 * @property {string} title
 */

/**
 * @typedef {object} Row
 * @property {string} letter
 * @property {string} name of the model
 * @property {string} title
 * @property {Measured | null} measured
 * @property {string | null} error
 */

/** @type {Column[]} */
export const COLUMNS = [
  { key: "psnr", head: "PSNR", unit: "dB", better: 1, title: "Peak signal-to-noise ratio, averaged over the images" },
  { key: "ssim", head: "SSIM", better: 1, title: "Structural similarity, averaged over the images" },
  { key: "delta_e", head: "ΔE", better: -1, title: "Colour difference (CIEDE2000): from 1 on one begins to see it" },
  { key: "lpips", head: "LPIPS", better: -1, title: "Perceptual distance (LPIPS, by VGG16)" },
  {
    key: "fid",
    head: "Fréchet",
    better: -1,
    title: "Fréchet distance of the reconstructions (rFID); of few images it comes out larger",
  },
  {
    key: "equivariance_turn",
    head: "Turned",
    unit: "dB",
    better: 1,
    title: "PSNR where the latent is turned (EQ-VAE)",
  },
  { key: "equivariance_scale", head: "Halved", unit: "dB", better: 1, title: "PSNR where the latent is made smaller" },
  { key: "bits_per_pixel", head: "Bits", unit: "a pixel", better: -1, title: "Of the latent, 16 bits a number" },
  { key: "parameters", head: "Parameters", better: -1, title: "Numbers in the network" },
  { key: "milliseconds", head: "Time", unit: "ms an image", better: -1, title: "Encoding and decoding, on the server" },
];

/** The figures of each image, in the order of COLUMNS. @param {Measured} measured */
export const imageColumns = ({ images }) => COLUMNS.filter(({ key }) => key in images.columns);

/** What a row has for a column; null for nothing. @param {Row} row @param {string} key @returns {number | null} */
export function figureOf({ measured }, key) {
  if (!measured) return null;
  if (key === "psnr" && measured.row.exact && measured.row.psnr === null) return Number.POSITIVE_INFINITY;
  const value = measured.row[key];
  return typeof value === "number" ? value : null;
}

/** The columns that some row has. @param {Row[]} rows */
export const shownColumns = (rows) => COLUMNS.filter(({ key }) => rows.some((row) => figureOf(row, key) !== null));

/**
 * The rows by a column, those without it last; as they came where there is none.
 *
 * @param {Row[]} rows
 * @param {string | null} key
 * @param {boolean} falling
 */
export function sorted(rows, key, falling) {
  if (!key) return rows;
  /** @param {Row} row */
  const rank = (row) => {
    const value = figureOf(row, key);
    return value === null ? Number.POSITIVE_INFINITY : falling ? -value : value;
  };
  return [...rows].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) < rank(b) ? -1 : 1));
}

/** How far the bar of a value reaches: the largest of its column is 1.
 * @param {number | null} value @param {(number | null)[]} all */
export function barOf(value, all) {
  const finite = all.filter((each) => each !== null && Number.isFinite(each));
  const most = Math.max(...finite.map(Number), 0);
  if (value === null || !most) return 0;
  return Math.min(1, Math.max(0, value / most));
}

/** Whether all models saw the same images in the same way. @param {Row[]} rows */
export const areAlike = (rows) =>
  new Set(rows.flatMap(({ measured }) => (measured ? [`${measured.shape}|${measured.row.images}`] : []))).size <= 1;

/**
 * Where in the lists the images are, the worst first; those without a figure last. A PSNR of none is that of an image
 * that came back as it was.
 *
 * @param {Measured} measured
 * @param {string} key
 */
export function worstFirst({ images }, key) {
  const values = images.columns[key];
  const better = COLUMNS.find((column) => column.key === key)?.better ?? 1;
  /** @param {number} i */
  const rank = (i) => (values[i] === null ? Number.POSITIVE_INFINITY : better * Number(values[i]));
  return images.numbers.map((_, i) => i).sort((a, b) => (rank(a) === rank(b) ? a - b : rank(a) < rank(b) ? -1 : 1));
}

/** @param {string | number | null | undefined} cell */
function quoted(cell) {
  const text = cell === null || cell === undefined ? "" : String(cell);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A file of comma-separated values. @param {(string | number | null | undefined)[][]} lines */
export const csv = (lines) => lines.map((line) => `${line.map(quoted).join(",")}\r\n`).join("");

/** A line a model, its percentiles, too. @param {Row[]} rows */
export function modelLines(rows) {
  const measured = rows.flatMap((row) => (row.measured ? [{ name: row.name, ...row.measured }] : []));
  const single = [...new Set(measured.flatMap(({ row }) => Object.keys(row)))].filter((key) => key !== "percentiles");
  const levels = [
    ...new Set(
      measured.flatMap(({ row }) =>
        Object.entries(row.percentiles).flatMap(([key, of]) => Object.keys(of).map((level) => `${key}_${level}`)),
      ),
    ),
  ];
  /** @param {Measured} each @param {string} name */
  const levelOf = ({ row }, name) => {
    const at = name.lastIndexOf("_");
    return row.percentiles[name.slice(0, at)]?.[name.slice(at + 1)];
  };
  return [
    ["model", "size", ...single, ...levels],
    ...measured.map((each) => [
      each.name,
      each.shape[0],
      ...single.map((key) => /** @type {string | number | null | undefined} */ (each.row[key])),
      ...levels.map((name) => levelOf(each, name)),
    ]),
  ];
}

/** A line an image of each model. @param {Row[]} rows */
export function imageLines(rows) {
  const measured = rows.flatMap((row) => (row.measured ? [{ name: row.name, ...row.measured }] : []));
  const keys = [...new Set(measured.flatMap((each) => imageColumns(each).map(({ key }) => key)))];
  return [
    ["model", "image", ...keys],
    ...measured.flatMap(({ name, images }) =>
      images.numbers.map((_, i) => [name, images.names[i], ...keys.map((key) => images.columns[key]?.[i])]),
    ),
  ];
}

/** Percentiles of a figure over the images, in words; empty for none. @param {Row} row @param {string} key */
export function percentilesOf({ measured }, key) {
  const levels = Object.entries(measured?.row.percentiles[key] ?? {});
  return levels.map(([level, value]) => `${level}% of the images: ${figure(key, value)} or less`).join("\n");
}

/** A figure as it is shown. @param {string} key @param {number | null} value */
export const figure = (key, value) => (key === "psnr" && value === null ? "∞" : number(value));
