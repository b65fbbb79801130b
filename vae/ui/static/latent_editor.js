// The latent of the picture above, or of a file, edited channel by channel, beside the picture that it decodes to. Its
// fold in the tab is made by page.js, which fetches this module when it is opened.

/** @import { ChannelEdit, Context, LatentEditorNews, LatentWish, ModelNews, StopServer, TakenLatent } from "./types" */
import { announce, button, errorLine, h, icon, onResize, onThemeChange, uniqueId } from "./dom.js";
import { fileName, shapeText, shortName, twoDecimals } from "./format.js";
import { heatmap } from "./heatmap.js";
import { ASIS, channelRows, isEdited } from "./latent_edits.js";
import { unpackFloats } from "./map_geometry.js";
import { enlargement, isSmall } from "./pixel_scale.js";
import { saveAt } from "./save_file.js";
import { listen } from "./topics.js";

const STYLE = `
.vs-edit { display: grid; grid-template-columns: minmax(0, 320px) minmax(0, 1fr); gap: 20px; align-items: start; }
.vs-edit-view { position: sticky; top: 8px; z-index: 1; display: grid; gap: 10px; background: var(--vs-card); }
.vs-edit-view .vs-edit-room { aspect-ratio: 1; display: grid; place-items: center; background: var(--vs-sunken); }
.vs-edit-view img { display: block; margin: 0; max-width: 100%; }
.vs-edit-view img:not([src]) { visibility: hidden; }
.vs-edit .crisp { image-rendering: pixelated; }
.vs-edit-rows { display: grid; gap: 0; }
.vs-edit-row { display: grid; grid-template-columns: 48px minmax(0, 1fr); gap: 4px 12px; padding: 10px 0; }
.vs-edit-row + .vs-edit-row { border-top: 1px solid var(--vs-line); }
.vs-edit-row .vs-map figcaption { display: none; }
.vs-edit-row label { display: flex; align-items: center; gap: 8px; min-height: 28px; }
.vs-edit-row label > span { min-width: 6ch; }
.vs-edit-row output { min-width: 5ch; text-align: right; color: var(--vs-text); }
.vs-edit-row .vs-button { justify-content: center; padding: 2px 10px; font-size: 13px; }
.vs-edit[aria-busy="true"] img { opacity: .6; }
@media (max-width: 640px) {
  .vs-edit { display: flex; flex-direction: column; gap: 12px; }
  .vs-edit-view { display: contents; }
  .vs-edit-view .vs-edit-room { position: sticky; top: 0; z-index: 1; width: 160px; } /* beside what one moves */
  .vs-edit-rows { width: 100%; }
}
`;

/** @param {Context<LatentEditorNews | null, StopServer>} context */
export default function mount({ root, props, server, upload, trigger, watch }) {
  const image = h("img", { alt: "" });
  const room = h("div", { class: "vs-edit-room" }, image);
  const says = h("p", { class: "vs-caption" });
  const error = errorLine();
  const file = h("input", {
    type: "file",
    accept: ".safetensors,.npy",
    class: "vs-file",
    id: `vs-latent-${uniqueId()}`,
  });
  const seedInput = h("input", { type: "number", class: "vs-number", min: 0, max: 2 ** 31 - 1, step: 1, value: 0 });
  const rows = h("div", { class: "vs-edit-rows" });
  const actions = h("div", { class: "vs-actions" });
  const view = h("div", { class: "vs-edit-view" }, room, says, error.node, actions);
  const box = h("div", { class: "vs-edit" }, view, rows);
  root.append(h("style", {}, STYLE), file, box);

  /** @type {(TakenLatent & { model: string, of: "picture" | "file" }) | null} */
  let latent = null;
  /** @type {ChannelEdit[]} */
  let edits = [];
  /** @type {string | null} */
  let chosen = null;
  /** @type {(() => void)[]} each shows one channel's edit in its row, or repaints its map */
  let drawn = [];

  // ---- asking Python, one wish at a time; of those that wait the last one counts
  /** @type {{ ticket: string, wish: LatentWish, model: string } | null} */
  let run = null;
  /** @type {LatentWish | null} */
  let next = null;
  /** @param {LatentWish} wish */
  const ask = (wish) => {
    if (!chosen) return;
    if (run) {
      next = wish;
      if (wish.what !== "decode") server.stop(run.ticket); // nobody waits for its picture
      return;
    }
    run = { ticket: uniqueId(), wish, model: chosen };
    box.setAttribute("aria-busy", "true");
    trigger("run", { ticket: run.ticket, model: chosen, ...wish });
  };
  const sent = () => {
    const { z, shape, size } = /** @type {TakenLatent} */ (latent);
    return { z, shape, size, edits, seed: Number(seedInput.value) || 0 };
  };
  const decode = () => latent && ask({ what: "decode", ...sent() });
  /** @param {string} format */
  const keep = (format) => latent && ask({ what: "keep", format, ...sent() });
  const take = () => ask({ what: "take" });

  watch("value", () => {
    const answer = props.value;
    if (!answer || answer.ticket !== run?.ticket || (!answer.result && !answer.error)) return;
    const { wish, model } = run;
    run = null;
    box.removeAttribute("aria-busy");
    if (model === chosen) receive(wish, model, answer);
    const waiting = next;
    next = null;
    if (waiting) ask(waiting);
  });

  /** @param {LatentWish} wish @param {string} model @param {LatentEditorNews} answer */
  const receive = (wish, model, { result, error: sentence }) => {
    if (sentence !== "Stopped.") error.say(sentence);
    if (!result) return;
    if (result.z) {
      latent = { ...result, model, of: wish.what === "open" ? "file" : "picture" };
      if (edits.length !== result.shape[0]) edits = result.shape && Array.from({ length: result.shape[0] }, ASIS);
      drawRows();
      next ??= { what: "decode", ...sent() };
    } else if (result.image) {
      image.src = result.image;
      image.alt = `What the ${isEdited(edits) ? "edited " : ""}latent decodes to`;
      image.dataset.side = String(Math.max(result.width, result.height));
      lay();
      announce("Decoded.");
    } else if (result.file && wish.what === "keep") {
      const of = latent?.name.replace(/\.\w+$/, "") ?? "latent";
      saveAt(result.file, `${fileName(shortName(model, 1), of)}${wish.format}`);
    }
  };

  const lay = onResize(room, () => {
    const side = Number(image.dataset.side);
    if (!side) return;
    image.classList.toggle("crisp", isSmall(side));
    const scale = enlargement(side, room.clientWidth);
    image.style.width = `${image.naturalWidth * scale || ""}px`;
  });
  image.addEventListener("load", lay);

  // ---- a row for each channel
  /** @param {number} i @param {number[][]} values @param {number} limit */
  const row = (i, values, limit) => {
    const name = `Channel ${i + 1}`;
    const map = heatmap({ rows: values, limit, diverging: true, label: `${name} of the latent`, caption: name });
    map.canvas.style.width = "48px";
    const count = edits.length;
    const options = Array.from({ length: count }, (_, k) => h("option", { value: k }, `channel ${k + 1}`));
    const source = h("select", { class: "vs-select", "aria-label": `${name} is taken from` }, options);
    /** @param {"scale" | "noise"} part @param {string} word @param {number} low @param {number} high */
    const slider = (part, word, low, high) => {
      const attributes = { type: "range", class: "vs-scrub", min: low, max: high, step: 0.05 };
      const input = h("input", { ...attributes, "aria-label": `${name}, ${word.toLowerCase()}` });
      const output = h("output");
      input.addEventListener("input", () => {
        edits[i][part] = Number(input.value);
        show();
        decode();
      });
      const set = () => {
        input.value = String(edits[i][part]);
        output.textContent = twoDecimals(edits[i][part]);
      };
      return { node: h("label", {}, h("span", {}, word), input, output), set };
    };
    const scale = slider("scale", "Scale", -3, 3);
    const noise = slider("noise", "Noise", 0, 3);
    const zero = button("Zero", () => {
      edits[i].scale = edits[i].scale === 0 ? 1 : 0;
      show();
      decode();
    });
    zero.setAttribute("aria-label", `${name}: set to zero, or back`);
    source.addEventListener("change", () => {
      // A swap: the other channel gets what this one had.
      const other = Number(source.value);
      const mine = edits[i].source;
      const twin = edits.findIndex((edit, k) => k !== i && edit.source === other);
      edits[i].source = other;
      if (twin >= 0) edits[twin].source = mine;
      for (const draw of drawn) draw();
      decode();
    });
    const show = () => {
      source.value = String(edits[i].source);
      scale.set();
      noise.set();
      zero.setAttribute("aria-pressed", String(edits[i].scale === 0));
      map.draw();
    };
    drawn.push(show);
    show();
    const head = h("label", {}, h("span", {}, name), source, zero);
    return h("div", { class: "vs-edit-row" }, map.node, h("div", {}, head, scale.node, noise.node));
  };
  const drawRows = () => {
    if (!latent) return;
    drawn = [];
    edits = edits.map((edit, i) => ({ ...edit, source: edit.source ?? i }));
    const { channels, limit } = channelRows(unpackFloats(latent.z), latent.shape);
    rows.replaceChildren(...channels.map((values, i) => row(i, values, limit)));
    says.textContent = `Here: ${latent.name}, ${shapeText(latent.shape)}. A swap goes both ways.`;
  };
  const reset = () => {
    edits = edits.map(ASIS);
    drawRows();
    decode();
  };
  onThemeChange(() => {
    for (const draw of drawn) draw();
  });

  // ---- files
  file.addEventListener("change", async () => {
    const picked = file.files?.[0];
    file.value = "";
    if (!picked) return;
    try {
      const sentFile = await upload(picked);
      ask({ what: "open", file: { path: sentFile.path } });
    } catch {
      error.say("The upload did not go through; please try again.");
    }
  });
  actions.append(
    button([icon("upload"), "Open a latent"], () => file.click(), { title: ".safetensors or .npy" }),
    button([icon("download"), ".safetensors"], () => keep(".safetensors")),
    button([icon("download"), ".npy"], () => keep(".npy")),
    button("The picture's own", take),
    button([icon("undo"), "Undo all edits"], reset),
    h("label", { class: "vs-caption" }, "Noise seed ", seedInput),
  );
  seedInput.addEventListener("change", decode);

  // ---- what is shown above
  listen("models", (/** @type {ModelNews} */ news) => {
    chosen = news.chosen;
    box.classList.toggle("stale", Boolean(latent) && latent?.model !== chosen);
  });
  listen("shown", (/** @type {{ tab: string }} */ { tab }) => {
    const stays = latent?.of === "file" && latent.model === chosen;
    if (tab !== "reconstruct" || stays || !root.offsetParent) return;
    box.classList.remove("stale");
    take();
  });
}
