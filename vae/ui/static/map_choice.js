// Which map of a space is shown: its points, asked for once, and the two numbers of the latent where these make it.

/** @import { LatentServer, LatentSpace, MapName, MapPrior } from "./types" */
import { h, NO_ANSWER } from "./dom.js";
import { unpackFloats } from "./map_geometry.js";

/** @typedef {{ points: Float32Array, prior: MapPrior }} MapPoints */

/**
 * @param {LatentSpace} facts
 * @param {string} title
 * @param {LatentServer} server
 * @param {() => void} changed other numbers were chosen
 */
export function mapChoice(facts, title, server, changed) {
  /** @type {Map<string, MapPoints>} */
  const known = new Map();
  const pair = facts.first.map((dim, k) =>
    h("input", {
      type: "number",
      class: "vs-number",
      min: 0,
      max: facts.dims - 1,
      step: 1,
      value: dim,
      "aria-label": `Latent dimension ${k ? "up" : "across"}, ${title}`,
      onchange: changed,
    }),
  );
  const node = h("span", { class: "vs-pair", hidden: true }, pair[0], "across,", pair[1], "up");
  return {
    node,
    /** The map that there is of the wanted kind, else the first one. @param {string} wanted @returns {MapName} */
    name(wanted) {
      const here = facts.maps.includes(wanted) ? wanted : facts.maps[0];
      node.hidden = here !== "dims";
      return here === "dims" ? [Number(pair[0].value), Number(pair[1].value)] : here;
    },
    /** @param {MapName} map @returns {Promise<{ error: string } | MapPoints>} */
    async points(map) {
      const found = known.get(String(map));
      if (found) return found;
      const answer = await server.latent_space_map({ model: facts.name, map }).catch(() => ({ error: NO_ANSWER }));
      if (answer.error !== undefined || !("points" in answer)) return { error: answer.error ?? NO_ANSWER };
      const news = { points: unpackFloats(answer.points), prior: answer.prior };
      known.set(String(map), news);
      return news;
    },
  };
}
