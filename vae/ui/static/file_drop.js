// Uploads a file that a visitor chooses, drops or pastes.

/** @import { Upload, UploadedFile } from "./types" */

const LIMIT = 64 * 2 ** 20; // bytes; as in launch(max_file_size=)

/**
 * Wires a file input, and dropping on `zone`. Calls done(the uploaded file, an address that shows it), or
 * failed(sentence).
 *
 * @param {object} parts
 * @param {HTMLElement} parts.zone
 * @param {HTMLInputElement} parts.input
 * @param {Upload} parts.upload
 * @param {(file: UploadedFile, uri: string) => void} parts.done
 * @param {(sentence: string) => void} parts.failed
 * @returns {(file: File | undefined) => Promise<void>} takes a file from elsewhere
 */
export function acceptFiles({ zone, input, upload, done, failed }) {
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
  return take;
}
