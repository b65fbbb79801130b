// Where the page's modules begin. Gradio puts a component of ours on the page as `<div data-vs="NAME">` and then calls
// `mount("NAME", …)`: the module NAME.js draws it. Python's own few lines of script call `tell` and `visitorToken`.

import address from "./address.js";
import { keepConnection } from "./connection.js";
import { h } from "./dom.js";
import error_note from "./error_note.js";
import { watchDrops } from "./file_drop.js";
import image_input from "./image_input.js";
import model_picker from "./model_picker.js";
import { watchPhone } from "./phone_bar.js";
import progress from "./progress.js";
import reconstruction from "./reconstruction.js";
import { shareDownloads } from "./save_file.js";
import { watchTabKeys } from "./tab_keys.js";
import { watchTeaching } from "./teach.js";
import { listen } from "./topics.js";

export { tell } from "./topics.js";
export { visitorToken } from "./visitor_token.js";

keepConnection();

/** @typedef {(context: any) => void} Draw */

// The first tab's are at hand at once: one that came a moment after Gradio's own would move what stands below it.
/** @type {Record<string, Draw>} */
const first = { address, error_note, image_input, model_picker, progress, reconstruction };

const others = [
  "bench",
  "beta_runs",
  "comparison",
  "file_saver",
  "interpolation",
  "interpolation_end",
  "latent_space",
  "not_generative",
  "prior_choice",
  "sample_choice",
  "sample_grids",
  "training",
  "training_data",
  "training_outlook",
];
/** @param {string} name @returns {Promise<{ default: Draw }>} */
const load = (name) => import(`./${name}.js`);
watchTabKeys();
shareDownloads();
watchPhone();
watchTeaching();
watchDrops();
const SETTLED = 3000; // ms after the first result, after which the other tabs' modules can be fetched
let settling = false;
listen("shown", () => {
  if (settling) return;
  settling = true;
  setTimeout(() => {
    for (const name of others) load(name).catch(() => {}); // then when it is needed
  }, SETTLED);
});

/**
 * @param {string} name of a component
 * @param {{ element: HTMLElement, options?: { fold?: string } }} context what Gradio hands over, and its options
 */
export async function mount(name, context) {
  const root = context.element.querySelector("[data-vs]") ?? context.element;
  const title = context.options?.fold;
  if (title) {
    const inside = h("div");
    const fold = h("details", { class: "vs-numbers" }, h("summary", {}, title), inside);
    root.append(fold);
    fold.addEventListener("toggle", async () => (await load(name)).default({ ...context, root: inside }), {
      once: true,
    });
    return;
  }
  const draw = first[name] ?? (await load(name)).default;
  draw({ ...context, root });
}
