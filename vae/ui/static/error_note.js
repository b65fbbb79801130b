// The sentence that says what went wrong, beside what caused it.

/** @import { Context } from "./types" */
import { errorLine } from "./dom.js";
import { listen } from "./topics.js";

/** @param {Context<string, object, { of_result: boolean, until: string | null }>} context */
export default function mount({ root, props, watch, options }) {
  root.classList.toggle("of-result", options.of_result); // studio.css dims the result beside it
  const line = errorLine();
  root.append(line.node);
  const show = () => line.say(props.value);
  if (options.until)
    listen(options.until, () => {
      if (!props.value) return;
      props.value = ""; // or the same sentence would not be seen to come again
      line.say(null);
    });
  watch("value", show);
  show();
}
