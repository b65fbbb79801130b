// The buttons over a map: select, zoom, and the tour.

import { button, h, icon, showPlaying } from "./dom.js";

const ZOOM = 2; // of a click
const TOUR = "Tour of the map";

/**
 * @param {object} map
 * @param {(on: boolean) => void} map.selecting
 * @param {(factor: number) => void} map.zoom
 * @param {() => void} map.fit
 * @param {() => void} map.toggleTour
 */
export function mapTools({ selecting, zoom, fit, toggleTour }) {
  /** @param {string | HTMLElement} content @param {() => void} action @param {object} [more] */
  const tool = (content, action, more) => button(content, action, { class: "vs-button small", ...more });
  const select = tool(
    "Select",
    () => {
      const on = select.getAttribute("aria-pressed") !== "true";
      select.setAttribute("aria-pressed", String(on));
      selecting(on);
    },
    { "aria-pressed": "false", title: "Draw around pictures, or click them one by one" },
  );
  const nearer = tool("+", () => zoom(ZOOM), { "aria-label": "Zoom in" });
  const farther = tool("−", () => zoom(1 / ZOOM), { "aria-label": "Zoom out" });
  const whole = tool("All", fit, { title: "The whole map" });
  const tour = tool(icon("play"), toggleTour, { "aria-label": TOUR, "data-action": "tour" });
  return {
    node: h("span", { class: "vs-map-tools" }, select, nearer, farther, whole, tour),
    /** @param {boolean} isWhole whether all of the map is seen */
    setWhole(isWhole) {
      farther.disabled = whole.disabled = isWhole;
    },
    /** @param {boolean} running */
    setTour: (running) => showPlaying(tour, running, TOUR),
  };
}
