// Saves a file that Python hands over as {uri, name}.

/** @import { Context } from "./types" */
import { saveAt } from "./save_file.js";

/** @param {Context<{ uri: string, name: string } | null>} context */
export default function mount({ props, watch }) {
  watch("value", () => {
    if (props.value) saveAt(props.value.uri, props.value.name);
  });
}
