// How a file reaches the visitor: as a download, and on a phone also through the system's share sheet.

import { button, download, h } from "./dom.js";

const KEPT = 60_000; // ms until a download must have begun
/** @type {HTMLElement | null} what is offered on a phone, one file at a time */
let offered = null;

/** Whether this is a phone whose system takes such a file. @param {File} file */
const canShare = (file) => matchMedia("(pointer: coarse)").matches && Boolean(navigator.canShare?.({ files: [file] }));

/** @param {Blob} blob @param {string} name */
function downloadBlob(blob, name) {
  const uri = URL.createObjectURL(blob);
  download(uri, name);
  setTimeout(() => URL.revokeObjectURL(uri), KEPT);
}

/**
 * Saves a file. On a phone the visitor is asked whether to share or to save it: a system opens its share sheet only
 * after a touch, and the one that asked for the file may be long ago.
 *
 * @param {Blob} blob
 * @param {string} name of the file
 */
export function saveFile(blob, name) {
  const file = new File([blob], name, { type: blob.type });
  offered?.remove();
  if (!canShare(file)) {
    downloadBlob(blob, name);
    return;
  }
  const close = () => bar.remove();
  const share = async () => {
    try {
      await navigator.share({ files: [file] });
      close();
    } catch {
      // the visitor thought better of it, or the system refused it: saving is still offered
    }
  };
  const save = () => {
    downloadBlob(blob, name);
    close();
  };
  const bar = h(
    "div",
    { class: "vs-share", role: "group", "aria-label": "The file is ready" },
    h("span", { class: "vs-share-name" }, name),
    button("Share", share),
    button("Save", save),
    button("×", close, { "aria-label": "Close" }),
  );
  offered = bar;
  // Inside the page's own root, where its styles reach.
  (document.querySelector(".gradio-container") ?? document.body).append(bar);
  bar.querySelector("button")?.focus();
}

/** @param {HTMLCanvasElement} canvas @param {string} name of the file, a PNG */
export function saveCanvas(canvas, name) {
  canvas.toBlob((blob) => blob && saveFile(blob, name), "image/png");
}

/** @param {string} uri of what is at hand, a data: URI or an address of this server @param {string} name */
export async function saveAt(uri, name) {
  saveFile(await (await fetch(uri)).blob(), name);
}

/** On a phone, links that download are offered to be shared, too. */
export function shareDownloads() {
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest(":is(.vs-button, .vs-link)[download]");
    if (!(link instanceof HTMLAnchorElement) || !canShare(new File([], link.download, { type: "image/png" }))) return;
    event.preventDefault();
    saveAt(link.href, link.download);
  });
}
