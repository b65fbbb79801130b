// What takes long: how far it is, and a button that stops it.

/** @import { Context, Progress, StopServer } from "./types" */
import { announce, button, h } from "./dom.js";

/**
 * Shows a share on a progress bar; without one the bar only says that there is work.
 *
 * @param {HTMLProgressElement} bar
 * @param {number | null | undefined} share from 0 to 1
 */
export function showShare(bar, share) {
  if (share === null || share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}

/** @param {Context<Progress | null, StopServer>} context */
export default function mount({ root, props, server, watch }) {
  const stop = () => {
    if (props.value) server.stop(props.value.ticket);
    box.hidden = true;
    announce("Stopped.");
  };
  const what = h("span");
  const bar = h("progress", { class: "live", max: 1, "aria-label": "Progress" });
  const box = h("div", { class: "vs-busy", hidden: true }, what, bar, button("Stop", stop));
  root.append(box);

  const show = () => {
    const now = props.value;
    box.hidden = !now;
    if (!now) return;
    what.textContent = now.what || "Starting";
    showShare(bar, now.share);
  };
  watch("value", show);
  show();
}
