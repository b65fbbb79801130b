// A pad to draw on, with the mouse, a finger or the keyboard. While one draws, the model redraws and a dot moves on its
// map, one request at a time; once a stroke is done the drawing is the picture.

/** @import { ModelFacts, ModelNews, SketchLook, SketchServer } from "./types" */
/** @import { Point } from "./strokes.js" */
import {
  announce,
  button,
  context2d,
  errorLine,
  h,
  icon,
  NO_ANSWER,
  onResize,
  onThemeChange,
  pixelRatio,
} from "./dom.js";
import { clamp, directionOf } from "./geometry.js";
import { unpackFloats } from "./map_geometry.js";
import { newestFirst } from "./newest_first.js";
import { enlargement, isSmall } from "./pixel_scale.js";
import { smallMap } from "./small_map.js";
import { paintStrokes, placeInWords, stepBrush, strokeList } from "./strokes.js";
import { listen } from "./topics.js";

const SIDE = 112; // CSS pixels of what stands beside the pad
const FINE = 140; // pixels of a drawing for a model that makes it smaller itself, at least
const MOST = 512; // pixels of one for a model that takes any size
const DONE = 250; // ms without another stroke, after which the drawing is the picture
const SPEECH = 500; // ms, so that not every step of the keyboard is spoken
const SLOW = 300; // ms that an answer takes, from which on it is asked for only when a stroke is done
const GREY = { paper: "#000000", ink: "#ffffff" };
const COLOURED = { paper: "#ffffff", ink: null };
const COLOURS = {
  Black: "#1a1a1a",
  White: "#ffffff",
  Brown: "#7a4a24",
  Tan: "#d8b183",
  Red: "#c8402f",
  Yellow: "#f0bf3e",
  Green: "#4e8f3f",
  Blue: "#3f78c4",
};
const HOW =
  "Drawing pad. Draw with the mouse or a finger. With the keyboard, arrow keys move the brush, Space lowers and " +
  "lifts it, Control Z takes the last stroke back, and Delete clears the pad.";

/**
 * @param {object} page
 * @param {string} page.of what the drawing is for, in words
 * @param {SketchServer} page.server
 * @param {(uri: string) => void} page.drawn the drawing is to be the picture
 * @param {(look: SketchLook & { model: string }) => void} [page.looked] what the model made of it while one draws
 */
export function drawPad({ of, server, drawn, looked }) {
  const strokes = strokeList();
  const canvas = h("canvas", { class: "vs-pad", tabindex: 0, role: "application", "aria-label": `${of}. ${HOW}` });
  const undo = button([icon("undo"), "Undo"], () => strokes.undo() && ended("The last stroke is taken back."));
  const clear = button("Clear", () => strokes.clear() && ended("The pad is clear."));
  const palette = h("div", { class: "vs-palette", role: "radiogroup", "aria-label": "Colour of the brush" });
  const redrawn = h("img", { alt: "What the model makes of the drawing, once there is one" });
  const map = smallMap(SIDE);
  const error = errorLine();
  const redrawnFigure = h("figure", {}, h("div", {}, redrawn), h("figcaption", {}, h("strong", {}, "Redrawn")));
  const mapFigure = h("figure", {}, map.node, h("figcaption", {}, h("strong", {}, "On the map"), map.says));
  const beside = h("div", { class: "vs-pad-beside" }, redrawnFigure, mapFigure);
  const hint = h("p", { class: "vs-caption" }, "Mouse, finger, or arrow keys and Space");
  const tools = h("div", { class: "vs-actions" }, undo, clear);
  const node = h("div", { class: "vs-pad-box" }, h("div", {}, canvas, palette, tools), beside, hint, error.node);

  node.classList.toggle("live", Boolean(server.sketch_look));
  beside.hidden = !server.sketch_look;

  /** @type {ModelFacts | null} */
  let model = null;
  let live = false; // whether that model redraws while one draws
  let colour = COLOURS.Black;
  /** @type {number | null} the pointer that draws */
  let pointer = null;
  /** @type {Point} of the keyboard's brush */
  let brush = [0.5, 0.5];
  let down = false; // the keyboard's brush
  let shown = false; // that brush
  let took = 0; // ms, the last answer
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let done;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let speech;

  // ---- drawing
  const colours = () => (model?.in_channels === 1 ? GREY : COLOURED);
  const paint = () => {
    const size = canvas.width;
    const c = context2d(canvas);
    paintStrokes(c, strokes.all(), size, colours());
    undo.disabled = !strokes.canUndo();
    clear.disabled = !strokes.all().length;
    if (!shown) return;
    c.beginPath();
    c.arc(brush[0] * size, brush[1] * size, 0.045 * size, 0, 7);
    for (const [style, width] of /** @type {const} */ ([
      ["#000000", 5],
      [down ? "#fb923c" : "#ffffff", 2.5],
    ])) {
      c.strokeStyle = style;
      c.lineWidth = width * pixelRatio();
      c.stroke();
    }
  };
  const lay = () => {
    canvas.width = canvas.height = Math.round(canvas.clientWidth * pixelRatio());
    paint();
  };
  /** The drawing as the model gets it. */
  const uri = () => {
    const own = model?.image_size ?? FINE;
    const size = model?.fixed_size ? Math.max(FINE, own) : Math.min(own, MOST);
    const copy = h("canvas", { width: size, height: size });
    paintStrokes(context2d(copy), strokes.all(), size, colours());
    return copy.toDataURL("image/png");
  };

  // ---- what the model makes of it
  /** @param {SketchLook} look */
  const showLook = (look) => {
    const scale = enlargement(look.width, SIDE);
    redrawn.src = look.image;
    redrawn.style.width = `${look.width * scale}px`;
    redrawn.classList.toggle("crisp", isSmall(look.width) && scale >= 1);
    redrawn.alt = "What the model makes of the drawing";
    map.move(look.place, look.nearest);
  };
  const wish = newestFirst({
    /** @param {{ model: string, uri: string }} request */
    async ask(request) {
      const begun = performance.now();
      const answer = await server.sketch_look?.(request).catch(() => ({ error: NO_ANSWER }));
      took = performance.now() - begun;
      return { answer, model: request.model };
    },
    waiting: (late) => beside.classList.toggle("late", late),
    show({ answer, model: by }) {
      if (!answer || by !== model?.name) return; // another was chosen meanwhile
      error.say("error" in answer ? answer.error : null);
      if ("error" in answer) return;
      showLook(answer);
      looked?.({ ...answer, model: by });
    },
  });
  const look = () => {
    const name = model?.name;
    if (live && name) wish({ request: () => ({ model: name, uri: uri() }) });
  };
  const changed = () => {
    clearTimeout(done);
    paint();
    if (took < SLOW) look();
  };
  /** A stroke is done, or the drawing changed otherwise. @param {string} [says] */
  const ended = (says) => {
    changed();
    if (took >= SLOW) look();
    if (says) announce(says);
    done = setTimeout(() => drawn(uri()), DONE);
  };

  // ---- mouse and finger
  /** @param {PointerEvent} event @returns {Point} */
  const pointOf = (event) => {
    const box = canvas.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const along = (event.clientY - box.top) / box.height;
    return [clamp(across, 0, 1), clamp(along, 0, 1)];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    shown = down = false;
    strokes.begin(colour, pointOf(event));
    changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const all = event.getCoalescedEvents?.() ?? [];
    const moves = (all.length ? all : [event]).map((move) => strokes.extend(pointOf(move)));
    if (moves.includes(true)) changed();
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => {
      if (/** @type {PointerEvent} */ (event).pointerId !== pointer) return;
      pointer = null;
      ended();
    });

  // ---- keyboard
  /** @param {boolean} lower */
  const setBrush = (lower) => {
    if (lower === down) return;
    down = lower;
    if (down) {
      strokes.begin(colour, brush);
      changed();
      announce("The brush is down.");
    } else ended("The brush is up.");
  };
  /** @param {KeyboardEvent} event @returns {boolean} whether it meant something here */
  const press = (event) => {
    const direction = directionOf(event.key);
    if (direction) {
      brush = stepBrush(brush, direction, event.shiftKey);
      if (down && strokes.extend(brush)) changed();
      clearTimeout(speech);
      speech = setTimeout(() => announce(`Brush ${down ? "down, " : ""}at ${placeInWords(brush)}.`), SPEECH);
    } else if (event.key === " ") setBrush(!down);
    else if (event.key === "Escape" && down) setBrush(false);
    else if ((event.key === "z" && (event.ctrlKey || event.metaKey)) || event.key === "Delete") {
      down = false;
      (event.key === "z" ? undo : clear).click();
    } else return false;
    return true;
  };
  canvas.addEventListener("keydown", (event) => {
    if (pointer !== null || !press(event)) return;
    event.preventDefault();
    shown = true;
    paint();
  });
  canvas.addEventListener("blur", () => {
    setBrush(false);
    shown = false;
    paint();
  });

  // ---- colours, and the model
  for (const [name, value] of Object.entries(COLOURS)) {
    const swatch = h("input", {
      type: "radio",
      name: `${of}, colour`,
      "aria-label": name,
      title: name,
      checked: value === colour,
      style: `--swatch: ${value}`,
      onchange: () => {
        colour = value;
      },
    });
    palette.append(swatch);
  }
  /** What there is to show of a model chosen just now. */
  const meet = async () => {
    const name = model?.name;
    if (!name) return;
    const found = await server.sketch_map?.({ model: name }).catch(() => null);
    if (name !== model?.name) return; // another was chosen meanwhile
    const known = found && !("error" in found) ? found : null;
    live = Boolean(known?.live);
    beside.hidden = !live;
    node.classList.toggle("live", live);
    map.set(known?.points ? { ...known, points: unpackFloats(known.points) } : null);
    mapFigure.hidden = !known?.points;
    if (strokes.all().length && node.offsetParent) look();
    lay();
  };
  listen("models", (/** @type {ModelNews} */ news) => {
    const chosen = news.models.find((facts) => facts.name === news.chosen) ?? null;
    const other = chosen?.name !== model?.name;
    const kind = colours();
    model = chosen;
    if (!other) return;
    took = 0;
    live = false;
    palette.hidden = model?.in_channels === 1;
    if (kind !== colours() && strokes.all().length && node.offsetParent) ended(); // other colours are another picture
    meet();
  });
  onResize(canvas, lay);
  onThemeChange(map.draw);
  return {
    node,
    /** Takes up the drawing that is there, if any. */
    open() {
      canvas.focus();
      if (strokes.all().length) ended();
    },
  };
}
