// Where the page's modules begin. Gradio puts a component of ours on the page as `<div data-vs="NAME">` and then calls
// `mount("NAME", …)`: the module NAME.js draws it. Python's own few lines of script call `tell` and `visitorToken`.

import comparison from "./comparison.js";
import error_note from "./error_note.js";
import file_saver from "./file_saver.js";
import image_input from "./image_input.js";
import interpolation from "./interpolation.js";
import interpolation_end from "./interpolation_end.js";
import latent_space from "./latent_space.js";
import model_picker from "./model_picker.js";
import not_generative from "./not_generative.js";
import prior_choice from "./prior_choice.js";
import progress from "./progress.js";
import reconstruction from "./reconstruction.js";
import sample_grids from "./sample_grids.js";
import training from "./training.js";
import training_data from "./training_data.js";

export { tell } from "./topics.js";
export { visitorToken } from "./visitor_token.js";

// All are at hand at once: a component that came a moment after Gradio's own would move what stands below it.
/** @type {Record<string, (context: any) => void>} */
const components = {
  comparison,
  error_note,
  file_saver,
  image_input,
  interpolation,
  interpolation_end,
  latent_space,
  model_picker,
  not_generative,
  prior_choice,
  progress,
  reconstruction,
  sample_grids,
  training,
  training_data,
};

/**
 * @param {string} name of a component
 * @param {{ element: HTMLElement }} context what Gradio hands over, and the component's options
 */
export function mount(name, context) {
  const root = context.element.querySelector("[data-vs]") ?? context.element;
  components[name]({ ...context, root });
}
