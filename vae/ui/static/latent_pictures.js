// What stands beside a map: what is decoded, large, and the nearest images of the data set; and the lens over the map,
// which shows the first of them too.

/** @import { LatentSpace } from "./types" */
import { h } from "./dom.js";
import { withArticle } from "./format.js";
import { projector } from "./newest_first.js";
import { enlargement, isSmall } from "./pixel_scale.js";

const ROOM = 192; // CSS pixels for what is decoded
const NEIGHBOURS = 6;
const NEIGHBOUR_ROOM = 58; // CSS pixels for each of the nearest images

/**
 * @param {LatentSpace} facts
 * @param {object} options
 * @param {string} options.title the model's
 * @param {(i: number) => string} options.nameOf a point
 * @param {(i: number) => string | null} options.classOf a point
 * @param {(room: number) => import("./sheet_images.js").Thumbnail} options.thumbnail
 * @param {(uri: string) => void} options.painted what is decoded now
 */
export function latentPictures(facts, { title, nameOf, classOf, thumbnail, painted }) {
  const image = h("img", { class: "vs-painted", alt: "" });
  image.style.width = image.style.height = `${facts.image_size * enlargement(facts.image_size, ROOM)}px`;
  image.classList.toggle("crisp", isSmall(facts.image_size));
  const says = h("span");
  const near = [...Array(Math.min(NEIGHBOURS, facts.n)).keys()].map(() => thumbnail(NEIGHBOUR_ROOM));
  const nearSays = h("span");
  const nearImages = h("div", { class: "vs-near", role: "img", "aria-label": "The nearest pictures" });
  nearImages.append(...near.map(({ node }) => node));

  /** @param {string} uri */
  const paint = (uri) => {
    image.src = uri;
    painted(uri);
  };
  const film = projector(paint, facts.steps);
  /** @param {HTMLElement} shown @param {string} word @param {HTMLElement} where */
  const figure = (shown, word, where) => h("figure", {}, shown, h("figcaption", {}, h("strong", {}, word), where));
  return {
    node: h(
      "div",
      { class: "vs-here" },
      figure(image, "Decoded", says),
      figure(nearImages, "Nearest pictures", nearSays),
    ),
    paint,
    film,
    /** @param {string} where */
    caption(where) {
      image.alt = `What ${title} decodes at ${where}`;
      says.textContent = where;
    },
    /** @param {number[]} points the nearest first */
    read(points) {
      near.forEach(({ show }, k) => {
        show(points[k] ?? null);
      });
      const of = classOf(points[0]);
      nearSays.textContent = of === null ? nameOf(points[0]) : withArticle(of);
      const names = points.map(nameOf).join(", ");
      nearImages.setAttribute("aria-label", `The nearest pictures of the ${facts.split} set: ${names}`);
    },
  };
}
