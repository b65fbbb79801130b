// Uploads a file that a visitor chooses, drops or pastes. A file dropped or pasted anywhere on the page goes to the
// first box in sight that takes its kind, else to the tab that does; while one is dragged over the page a veil says so.

/** @import { Upload, UploadedFile } from "./types" */
import { h, openTab } from "./dom.js";

const LIMIT = 64 * 2 ** 20; // bytes; as in launch(max_file_size=)
const NOTHING = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"; // a transparent pixel
const PATIENCE = 10_000; // ms
const ARCHIVE = /\.(zip|tar|tgz|tar\.gz)$|(zip|x-tar|gzip|compressed)/i; // names and types
/** Where a file of a kind goes from a tab without a box for it. */
const HOME = { image: "Reconstruct", archive: "Train" };

/** @typedef {"image" | "archive"} Kind */
/** @typedef {{ zone: HTMLElement, kind: Kind, title: string, take: (file: File | undefined) => void }} Box */

/** @type {Box[]} */
const boxes = [];

/** @param {{ type: string, name?: string }} file @returns {Kind} */
const kindOf = ({ type, name }) => (ARCHIVE.test(name || type) ? "archive" : "image");

/** The first box on the open tab that takes such a file. @param {Kind} kind @returns {Box | undefined} */
const inSight = (kind) =>
  boxes
    .filter((box) => box.kind === kind && box.zone.offsetParent)
    .sort((a, b) => (a.zone.compareDocumentPosition(b.zone) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1))[0];

/** @param {File} file */
async function takeAnywhere(file) {
  const kind = kindOf(file);
  if (!inSight(kind)) openTab(HOME[kind]);
  const until = Date.now() + PATIENCE; // a tab that is opened for the first time draws its boxes then
  while (!inSight(kind) && Date.now() < until) await new Promise((done) => requestAnimationFrame(done));
  const box = inSight(kind);
  box?.zone.scrollIntoView({ block: "nearest" });
  box?.take(file);
}

function watchPage() {
  const says = h("p");
  const veil = h("div", { class: "vs-veil", hidden: true, "aria-hidden": "true" }, says);
  document.querySelector(".gradio-container")?.append(veil);
  /** @param {DragEvent} event */
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let gone;
  document.addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault(); // else the browser would open the file
    const item = event.dataTransfer?.items[0];
    const kind = kindOf({ type: item?.type ?? "" });
    says.textContent = `Drop it anywhere: ${inSight(kind)?.title ?? `it opens in ${HOME[kind]}`}`;
    veil.hidden = false;
    clearTimeout(gone); // it comes several times a second while the file is over the page
    gone = setTimeout(() => {
      veil.hidden = true;
    }, 400);
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    const file = event.dataTransfer?.files[0];
    if (!file || event.defaultPrevented) return; // a box took it
    event.preventDefault();
    takeAnywhere(file);
  });
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file || event.defaultPrevented) return;
    event.preventDefault();
    takeAnywhere(file);
  });
}

/**
 * Wires a file input, dropping on `zone`, and the page around it. Calls done(the uploaded file, an address that shows
 * it), or failed(sentence).
 *
 * @param {object} parts
 * @param {HTMLElement} parts.zone
 * @param {HTMLInputElement} parts.input
 * @param {Upload} parts.upload
 * @param {Kind} [parts.kind] of file
 * @param {string} parts.title what becomes of a file, in words
 * @param {(file: UploadedFile, uri: string) => void} parts.done
 * @param {(sentence: string) => void} parts.failed
 * @returns {(file: File | undefined) => Promise<void>} takes a file from elsewhere
 */
export function acceptFiles({ zone, input, upload, kind = "image", title, done, failed }) {
  /** @param {File | undefined} file */
  const take = async (file) => {
    if (!file) return;
    if (file.size > LIMIT) {
      failed(`${file.name} is over 64 MB; a smaller file is accepted.`);
      return;
    }
    zone.classList.add("busy");
    try {
      const { path, url } = await upload(file);
      /** @type {UploadedFile} */
      const value = { path, url, orig_name: file.name, size: file.size, meta: { _type: "gradio.FileData" } };
      done(value, URL.createObjectURL(file));
    } catch (error) {
      // What the server refuses, it says in a sentence, of which Gradio makes this.
      const said = error instanceof Error && error.message.match(/^HTTP \d+: (.+\.)$/);
      failed(said ? said[1] : "The upload did not go through; please try again.");
    } finally {
      zone.classList.remove("busy");
      input.value = "";
    }
  };
  /** @param {boolean} on */
  const over = (on) => (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    zone.classList.toggle("over", on);
  };
  input.addEventListener("change", () => take(input.files?.[0]));
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    take(event.dataTransfer?.files[0]);
  });
  if (!boxes.length) watchPage();
  boxes.push({ zone, kind, title, take });
  return take;
}

/**
 * Shows an image that may be none: then, or where the browser cannot show what the server can read, there is no broken
 * one.
 *
 * @param {HTMLImageElement} thumb
 * @param {string} uri
 */
export function showThumb(thumb, uri) {
  thumb.onerror = () => {
    thumb.src = NOTHING;
  };
  thumb.src = uri;
}
