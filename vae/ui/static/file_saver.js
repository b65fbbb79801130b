// Saves a file that Python hands over as {uri, name}; through a Blob, since browsers refuse large data: downloads.

/** @import { Context } from "./types" */
import { downloadBlob } from "./dom.js";

/** @param {Context<{ uri: string, name: string } | null>} context */
export default function mount({ props, watch }) {
  watch("value", async () => {
    if (!props.value) return;
    const { uri, name } = props.value;
    downloadBlob(await (await fetch(uri)).blob(), name);
  });
}
