// Where the page's modules begin. Gradio puts a component of ours on the page as `<div data-vs="NAME">` and then calls
// `mount("NAME", …)`: the module NAME.js draws it. Python's own few lines of script call `tell` and `visitorToken`.

import address from "./address.js";
import { keepConnection } from "./connection.js";
import error_note from "./error_note.js";
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

/** @type {Record<string, () => Promise<{ default: Draw }>>} */
const others = {
  beta_runs: () => import("./beta_runs.js"),
  comparison: () => import("./comparison.js"),
  file_saver: () => import("./file_saver.js"),
  interpolation: () => import("./interpolation.js"),
  interpolation_end: () => import("./interpolation_end.js"),
  latent_space: () => import("./latent_space.js"),
  not_generative: () => import("./not_generative.js"),
  prior_choice: () => import("./prior_choice.js"),
  sample_choice: () => import("./sample_choice.js"),
  sample_grids: () => import("./sample_grids.js"),
  training: () => import("./training.js"),
  training_data: () => import("./training_data.js"),
  training_outlook: () => import("./training_outlook.js"),
};
watchTabKeys();
shareDownloads();
watchPhone();
watchTeaching();
const SETTLED = 3000; // ms after the first result, after which the other tabs' modules can be fetched
let settling = false;
listen("shown", () => {
  if (settling) return;
  settling = true;
  setTimeout(() => {
    for (const load of Object.values(others)) load().catch(() => {}); // then when it is needed
  }, SETTLED);
});

/**
 * @param {string} name of a component
 * @param {{ element: HTMLElement }} context what Gradio hands over, and the component's options
 */
export async function mount(name, context) {
  const root = context.element.querySelector("[data-vs]") ?? context.element;
  const draw = first[name] ?? (await others[name]()).default;
  draw({ ...context, root });
}
