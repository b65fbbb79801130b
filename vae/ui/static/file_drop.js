// Uploads a file that a visitor chooses, drops or pastes. A file dropped or pasted anywhere on the page goes to the
// first box in sight that takes its kind, else to the tab that does; while one is dragged over the page a veil says so.
// Of several each goes to a box of its own, as far as there are boxes in sight.

/** @import { Upload, UploadedFile } from "./types" */
import { announce, h, openTab } from "./dom.js";

const LIMIT = 64 * 2 ** 20; // bytes; as in launch(max_file_size=)
const NOTHING = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"; // a transparent pixel
const PATIENCE = 10_000; // ms
// What is learned from, by its name, or where that is not known yet by its type.
const ARCHIVE = { name: /\.(zip|tar|tgz|gz|npy|npz|csv)$|-ubyte$/i, type: /zip|x-tar|compressed|csv/ };
/** Where a file of a kind goes from a tab without a box for it. */
const HOME = { image: "Reconstruct", archive: "Train" };
const NO_LINKS = "This is a link, not a picture: save the picture, and drop or paste its file";
const SAID = 5000; // ms, for which that stands there

/** @typedef {"image" | "archive"} Kind */
/** @typedef {{ zone: HTMLElement, kind: Kind, title: string, take: (file: File | undefined) => void }} Box */

/** @type {Box[]} */
const boxes = [];

/** @param {{ type: string, name?: string }} file @returns {Kind} */
export const kindOf = ({ type, name }) =>
  (name ? ARCHIVE.name.test(name) : ARCHIVE.type.test(type)) ? "archive" : "image";

/** The boxes on the open tab that take such a file, in their order. @param {Kind} kind */
const inSight = (kind) =>
  boxes
    .filter((box) => box.kind === kind && box.zone.offsetParent)
    .sort((a, b) => (a.zone.compareDocumentPosition(b.zone) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));

/** What becomes of `count` files of a kind, in words. @param {Kind} kind @param {number} count */
export const dropSays = (kind, count, titles = inSight(kind).map(({ title }) => title)) => {
  const ends = titles.slice(0, count);
  const where = ends.length ? ends.join(", ") : `it opens in ${HOME[kind]}`;
  const taken = Math.max(1, ends.length);
  const which = count > taken ? `of the ${count} files, the first${taken > 1 ? ` ${taken}` : ""}: ` : "";
  return `Drop ${count > 1 ? "them" : "it"} anywhere: ${which}${where}`;
};

/** @param {File[]} files at least one */
async function takeAnywhere(files) {
  const kind = kindOf(files[0]);
  if (!inSight(kind).length) openTab(HOME[kind]);
  const until = Date.now() + PATIENCE; // a tab that is opened for the first time draws its boxes then
  while (!inSight(kind).length && Date.now() < until) await new Promise((done) => requestAnimationFrame(done));
  const found = inSight(kind).slice(0, files.length);
  found[0]?.zone.scrollIntoView({ block: "nearest" });
  found.forEach((box, i) => {
    box.take(files[i]);
  });
}

/** Has the page take what is dropped or pasted anywhere on it. */
export function watchDrops() {
  const says = h("p");
  const veil = h("div", { class: "vs-veil", hidden: true, "aria-hidden": "true" }, says);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let gone;
  /** @param {string} sentence @param {number} time in ms */
  const show = (sentence, time) => {
    if (!veil.isConnected) document.querySelector(".gradio-container")?.append(veil);
    says.textContent = sentence;
    veil.hidden = false;
    clearTimeout(gone);
    gone = setTimeout(() => {
      veil.hidden = true;
    }, time);
  };
  /** Whether it is text on its way to where text is typed. @param {Event} event */
  const isTyped = (event) =>
    event.target instanceof Element && Boolean(event.target.closest("input, textarea, [contenteditable]"));
  /** @param {DataTransfer | null} data */
  const isLink = (data) =>
    Boolean(data?.types.includes("text/uri-list")) || /^https?:\/\/\S+$/.test(data?.getData("text/plain").trim() ?? "");
  document.addEventListener("dragover", (event) => {
    const data = event.dataTransfer;
    const files = data?.types.includes("Files");
    if (!files && (isTyped(event) || !data?.types.includes("text/uri-list"))) return;
    event.preventDefault(); // else the browser would open the file, or the link, in place of the page
    const dragged = [...(data?.items ?? [])].filter((item) => item.kind === "file");
    const type = dragged[0]?.type; // none where the system does not know it
    const opens = type ? dropSays(kindOf({ type }), dragged.length) : "Drop it anywhere";
    show(files ? opens : NO_LINKS, 400); // it comes several times a second while it is over the page
  });
  /** @param {Event} event @param {DataTransfer | null} data */
  const take = (event, data) => {
    veil.hidden = true;
    if (event.defaultPrevented) return; // a box took it
    const files = [...(data?.files ?? [])];
    if (!files.length && (isTyped(event) || !isLink(data))) return;
    event.preventDefault();
    if (files.length) takeAnywhere(files);
    else {
      show(NO_LINKS, SAID);
      announce(NO_LINKS);
    }
  };
  document.addEventListener("drop", (event) => take(event, event.dataTransfer));
  document.addEventListener("paste", (event) => take(event, event.clipboardData));
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
    zone.classList.remove("over");
    if (!event.dataTransfer?.files.length) return; // text, or a link
    event.preventDefault();
    if (event.dataTransfer.files.length > 1) takeAnywhere([...event.dataTransfer.files]);
    else take(event.dataTransfer.files[0]);
  });
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
