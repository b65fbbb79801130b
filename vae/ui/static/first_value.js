// Gradio sets a component that it has just drawn to its first value once more, a moment after the component's script
// has run. What a script sets before that would be lost.

const MOMENT = 1000; // ms

/**
 * Calls `apply`, which sets a component's value where that is to be another from the beginning, and again should Gradio
 * then set it back.
 *
 * @param {(property: "value", changed: () => void) => void} watch
 * @param {() => void} apply
 */
export function setFirstValue(watch, apply) {
  const until = performance.now() + MOMENT;
  requestAnimationFrame(apply);
  watch("value", () => {
    if (performance.now() < until) apply();
  });
}
