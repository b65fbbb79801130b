// Where the page's modules begin. Gradio puts a component of ours on the page as `<div data-vs="NAME">` and then calls
// `mount("NAME", …)`: the module NAME.js draws it. Python's own few lines of script call `tell` and `visitorToken`.

export { tell } from "./topics.js";
export { visitorToken } from "./visitor_token.js";

/**
 * @param {string} name of a component: of the module that draws it
 * @param {{ element: HTMLElement }} context what Gradio hands over, and the component's options
 */
export async function mount(name, context) {
  /** @type {HTMLElement} */
  const root = context.element.querySelector("[data-vs]") ?? context.element;
  const component = await import(`./${name}.js`);
  component.default({ ...context, root });
}
