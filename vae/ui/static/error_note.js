// The sentence that says what went wrong, beside what caused it.

/** @import { Context } from "./types" */
import { errorLine } from "./dom.js";

/** @param {Context<string>} context */
export default function mount({ root, props, watch }) {
  const line = errorLine();
  root.append(line.node);
  const show = () => line.say(props.value);
  watch("value", show);
  show();
}
