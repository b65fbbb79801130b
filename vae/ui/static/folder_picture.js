// The table of a measured folder and its plot as one PNG.

/** @import { Plot } from "./bench_plot.js" */
/** @import { Row } from "./folder_table.js" */
import { colourOf, paintPlot } from "./bench_plot.js";
import { context2d, fontFamily, h, themeColour } from "./dom.js";
import { barOf, figureOf, shownColumns } from "./folder_table.js";
import { number } from "./format.js";
import { saveCanvas } from "./save_file.js";

const RATIO = 2; // pixels of the file for each of the page's
const LINE = 40;
const NAME = 240;
const CELL = 104;
const EDGE = 20;
const PLOT = 280;

/** @param {Row[]} rows @param {Plot | null} plot @param {string} name of the file */
export function saveTable(rows, plot, name) {
  const columns = shownColumns(rows);
  const width = 2 * EDGE + NAME + columns.length * CELL;
  const height = 2 * EDGE + (rows.length + 1) * LINE + (plot ? PLOT : 0);
  const canvas = h("canvas", { width: width * RATIO, height: height * RATIO });
  const c = context2d(canvas);
  c.scale(RATIO, RATIO);
  c.fillStyle = themeColour("card");
  c.fillRect(0, 0, width, height);
  /** @param {string} text @param {number} x @param {number} y @param {string} font @param {string} colour */
  const write = (text, x, y, font, colour) => {
    c.font = `${font} ${fontFamily()}`;
    c.fillStyle = themeColour(colour);
    c.fillText(text, x, y);
  };
  c.textBaseline = "top";
  columns.forEach(({ head, unit, key }, i) => {
    const right = EDGE + NAME + (i + 1) * CELL - 10;
    const network = rows.map(({ measured }) => measured?.row[`${key}_features`]).find(Boolean);
    c.textAlign = "right";
    write(head, right, EDGE, "600 13px", "text");
    write(network ? String(network) : (unit ?? ""), right, EDGE + 17, "11px", "muted");
  });
  rows.forEach((row, line) => {
    const top = EDGE + (line + 1) * LINE;
    c.textAlign = "left";
    c.fillStyle = colourOf(row.letter);
    c.fillRect(EDGE, top + 2, 4, LINE - 12);
    c.save();
    c.beginPath();
    c.rect(EDGE, top, NAME - 8, LINE);
    c.clip();
    write(`${row.letter}  ${row.title}`, EDGE + 12, top + 4, "600 13px", "text");
    if (row.measured) write(`${number(row.measured.row.images)} images`, EDGE + 12, top + 21, "11px", "muted");
    c.restore();
    c.textAlign = "right";
    columns.forEach(({ key }, i) => {
      const right = EDGE + NAME + (i + 1) * CELL - 10;
      const value = figureOf(row, key);
      write(number(value), right, top + 4, "13px", "text");
      const share = barOf(
        value,
        rows.map((each) => figureOf(each, key)),
      );
      c.fillStyle = themeColour("sunken");
      c.fillRect(right - 84, top + 24, 84, 4);
      c.fillStyle = themeColour("second");
      c.fillRect(right - 84, top + 24, 84 * share, 4);
    });
  });
  if (plot) {
    c.save();
    c.translate(EDGE, EDGE + (rows.length + 1) * LINE + 10);
    paintPlot(c, Math.min(width - 2 * EDGE, 560), PLOT - 20, plot);
    c.restore();
  }
  saveCanvas(canvas, name);
}
