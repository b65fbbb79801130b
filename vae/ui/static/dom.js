// Elements, and what the components need of the browser around them.

/** @typedef {string | number | boolean | null | undefined | ((event: any) => void)} Attribute */
/** @typedef {Node | string | null | undefined} Child */

/**
 * An element with attributes and children. Attributes that begin with "on" are listeners; null and false are left out.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, Attribute>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** @returns {number} device pixels in a CSS pixel */
export const pixelRatio = () => window.devicePixelRatio || 1;

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {CanvasRenderingContext2D}
 */
export function context2d(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/** One of the page's colours, as theme.py names them. @param {string} name */
export const themeColour = (name) => getComputedStyle(document.body).getPropertyValue(`--vs-${name}`).trim();

export const isDark = () => document.body.classList.contains("dark");

/** Calls `draw` whenever the page becomes light or dark. @param {() => void} draw */
export function onThemeChange(draw) {
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["class"] });
}

export const fontFamily = () => getComputedStyle(document.body).fontFamily;

/** Pixels of type on a canvas, larger where the page's type is. @param {number} pixels at the browser's usual size */
export const typeSize = (pixels) => (pixels * parseFloat(getComputedStyle(document.documentElement).fontSize)) / 16;

const announcer = () =>
  document.querySelector(".vs-voice") ?? h("div", { class: "vs-voice", "aria-live": "polite", role: "status" });

/** Tells people who use a screen reader, when they are not being told something else. @param {string} text */
export function announce(text) {
  const node = announcer();
  if (!node.isConnected) document.body.append(node);
  node.textContent = "";
  setTimeout(() => {
    node.textContent = text;
  }, 60);
}

/** @param {string} uri @param {string} name of the file */
export function download(uri, name) {
  const link = h("a", { href: uri, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/** @param {string} uri @returns {Promise<HTMLImageElement>} */
export function loadImage(uri) {
  return new Promise((done, fail) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = fail;
    image.src = uri;
  });
}

/**
 * Calls `tick` every `ms` while the element is on the screen and the page is looked at, and at once when it comes back;
 * a tick that takes long is not doubled.
 *
 * @param {Element} element
 * @param {number} ms
 * @param {() => Promise<void>} tick
 * @returns {() => Promise<void>} asks for a tick now
 */
export function poll(element, ms, tick) {
  let busy = false;
  let seen = false;
  const run = async () => {
    if (busy || !element.isConnected || document.hidden || !seen) return;
    busy = true;
    try {
      await tick();
    } catch {
      // the server is away: the next tick tries again
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(() => (element.isConnected ? run() : clearInterval(timer)), ms);
  document.addEventListener("visibilitychange", run);
  new IntersectionObserver((entries) => {
    seen = entries.at(-1)?.isIntersecting ?? false;
    run();
  }).observe(element);
  return run;
}

/**
 * Calls `draw` when the element gets a width or another one.
 *
 * @param {Element} element
 * @param {() => void} draw
 * @returns {() => void} draws now, if there is room
 */
export function onResize(element, draw) {
  let width = -1;
  new ResizeObserver(() => {
    if (element.clientWidth && element.clientWidth !== width) {
      width = element.clientWidth;
      draw();
    }
  }).observe(element);
  return () => {
    if (element.clientWidth) draw();
  };
}

/** Opens a tab. @param {string} label */
export function openTab(label) {
  /** @type {NodeListOf<HTMLElement>} */
  const buttons = document.querySelectorAll('[role="tab"]');
  [...buttons].find((button) => button.textContent?.trim() === label)?.click();
}

const ICONS = {
  download: ["M10 3v9m0 0 3.5-3.5M10 12 6.5 8.5M4 16h12"],
  play: ["M6 4.5v11l9-5.5z"],
  pause: ["M7 4.5v11M13 4.5v11"],
  redo: ["M16 10a6 6 0 1 1-1.8-4.3M16 3v3.5h-3.5"],
  pencil: ["M4 16l.8-3.6L13.2 4l2.8 2.8-8.4 8.4z"],
  undo: ["M4 8h8a4 4 0 0 1 0 8H8M4 8l3.5-3.5M4 8l3.5 3.5"],
  upload: ["M10 13V4m0 0L6.5 7.5M10 4l3.5 3.5M4 16h12"],
};
/** @typedef {keyof typeof ICONS} IconName */

/** @param {IconName} name */
export function icon(name) {
  const span = h("span", { class: "vs-icon", "aria-hidden": "true" });
  span.innerHTML = `<svg viewBox="0 0 20 20" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.6"
    stroke-linecap="round" stroke-linejoin="round"><path d="${ICONS[name]}"/></svg>`;
  return span;
}

/**
 * A button in the page's own look.
 *
 * @param {Child | Child[]} content
 * @param {(event: MouseEvent) => void} action
 * @param {Record<string, Attribute>} [attributes]
 */
export function button(content, action, attributes = {}) {
  return h("button", { type: "button", class: "vs-button", onclick: action, ...attributes }, content);
}

/** A button that plays while it is not playing, and pauses while it is. @param {HTMLButtonElement} node
 * @param {boolean} playing @param {string} play what it is called while it is not playing */
export function showPlaying(node, playing, play) {
  node.replaceChildren(icon(playing ? "pause" : "play"));
  node.setAttribute("aria-label", playing ? "Pause" : play);
}

/** Where a sentence about what went wrong appears; hidden while there is none. */
export function errorLine() {
  const node = h("p", { class: "vs-error", role: "alert", hidden: true });
  return {
    node,
    /** @param {string | null | undefined} sentence */
    say(sentence) {
      node.textContent = sentence || "";
      node.hidden = !sentence;
    },
  };
}

export const NO_ANSWER = "The server isn't answering; please try again in a moment.";

/** An id that no other element, request or page has. */
export const uniqueId = () => Math.random().toString(36).slice(2);
