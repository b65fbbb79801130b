// Numbers, times, sizes and names as the page writes them.

/**
 * A number with three significant digits and its thousands apart; a whole one whole. "–" for none.
 *
 * @param {number | null | undefined} x
 * @param {number} [digits]
 */
export function number(x, digits = 3) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  return plainNumber(x, digits).replaceAll("-", "−");
}

/** @param {number} x @param {number} digits */
function plainNumber(x, digits) {
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "-∞";
  if (Number.isInteger(x) || Math.abs(x) >= 10 ** digits) return Math.round(x).toLocaleString("en");
  if (Math.abs(x) < 1e-3) return x.toExponential(digits - 1);
  return x.toPrecision(digits);
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${number(seconds * 1000)} ms`;
  if (seconds < 60) return `${number(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How long ago something was, in the largest unit. @param {number} seconds */
export function ago(seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${plural(Math.floor(seconds / 60), "minute")} ago`;
  if (seconds < 86_400) return `${plural(Math.floor(seconds / 3600), "hour")} ago`;
  return `${plural(Math.floor(seconds / 86_400), "day")} ago`;
}

/** @param {number} n @param {string} word @param {string} [many] */
export const plural = (n, word, many = `${word}s`) => `${number(n)} ${n === 1 ? word : many}`;

/** @param {number} bytes */
export function fileSize(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e8 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Of a model's name that is a path, the last `parts` of it; any other name as it is.
 * @param {string} name @param {number} [parts] */
export function shortName(name, parts = 2) {
  if (!/^([~/]|\.|[A-Z]:)/.test(name)) return name;
  return name.split(/[\\/]/).filter(Boolean).slice(-parts).join("/");
}

/** @param {number[]} shape */
export const shapeText = (shape) => shape.join(" × ");

/** A latent's shape; of a model that takes images of any size, as parts of theirs.
 * @param {{ latent_shape: [number, number, number], image_size: number, fixed_size: boolean }} model */
export function latentShape({ latent_shape, image_size, fixed_size }) {
  const part = image_size / latent_shape[1];
  if (fixed_size || part <= 1) return shapeText(latent_shape);
  return `${latent_shape[0]} × h/${number(part)} × w/${number(part)}`;
}

/** What a file may be called: its parts in small letters with hyphens, "seed 3" as "seed3". @param {...string} parts */
export const fileName = (...parts) =>
  parts
    .join("-")
    .toLowerCase()
    .replaceAll(/\b(seed|sample|frame) (\d)/g, "$1$2")
    .replaceAll(/[^\p{L}\p{N}._]+/gu, "-")
    .replaceAll(/^-|-$/g, "");

/** A slider's value with two decimals and a true minus sign, none before zero. @param {number} value */
export const twoDecimals = (value) =>
  value
    .toFixed(2)
    .replace(/^-(?=.*[1-9])/, "−")
    .replace("-", "");

/** "an 8", "a 3"; a word as it is. @param {string} word */
export const withArticle = (word) => (/^\d$/.test(word) ? `${word === "8" ? "an" : "a"} ${word}` : word);
