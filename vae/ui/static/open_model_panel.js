// The panel that opens a model which is not listed: a line to type in, the well-known models, and how far the opening
// is.

/** @import { ModelFacts, Opening, PickerServer } from "./types" */
import { button, errorLine, h, NO_ANSWER } from "./dom.js";
import { fileSize, shortName } from "./format.js";
import { showShare } from "./progress.js";

const ASK = 250; // ms between looks how far an opening is
const LATE = 300; // ms, after which progress is shown
const MARGIN = 8; // CSS pixels below the button
const EDGE = 12; // CSS pixels from the window's left edge, at least
const PUBLIC_HINT = "A Hugging Face id; org/name/folder and org/name@revision work too.";
const HINT =
  "A Hugging Face id (org/name, org/name/folder, org/name@revision), or a folder or weight file on this machine.";

/** How far an opening is, in words and as a share. @param {Opening} opening */
function progressOf({ name, state, done, total }) {
  const title = shortName(name);
  if (state === "waiting") return { says: `Waiting to open ${title}`, chip: `opening ${title}`, share: null };
  if (!(total > 0 && done < total)) return { says: `Reading ${title}`, chip: `opening ${title}`, share: null };
  return {
    says: `Fetching ${title}: ${fileSize(done)} of ${fileSize(total)}`,
    chip: `opening ${title}, ${Math.floor((100 * done) / total)}%`,
    share: done / total,
  };
}

/**
 * @param {object} options
 * @param {HTMLElement} options.root within whose right edge the panel stays
 * @param {PickerServer} options.server
 * @param {boolean} options.isPublic whether strangers use this server, who open no paths
 * @param {(model: ModelFacts) => void} options.opened
 */
export function openModelPanel({ root, server, isPublic, opened }) {
  const line = h("input", {
    type: "text",
    id: "vs-open-line",
    class: "vs-line",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: isPublic ? "org/name" : "org/name, or a path",
    "aria-describedby": "vs-open-hint",
  });
  const submit = h("button", { type: "submit", class: "vs-button" }, "Open");
  /** @param {Event} event */
  const onsubmit = (event) => {
    event.preventDefault();
    open(line.value);
  };
  const form = h(
    "form",
    { onsubmit },
    h("label", { for: line.id }, "Open another model"),
    h("div", { class: "vs-line-row" }, line, submit),
    h("p", { id: "vs-open-hint", class: "vs-caption" }, isPublic ? PUBLIC_HINT : HINT),
  );
  const bar = h("progress", { class: "live", max: 1, "aria-label": "Progress of the opening" });
  const says = h("p", { class: "vs-caption" });
  const doing = h("div", { class: "vs-doing", hidden: true }, says, bar);
  const error = errorLine();
  const known = h("ul", { class: "vs-known" });
  const attributes = { class: "vs-open", popover: "auto", id: "vs-open" };
  const node = h("div", attributes, form, error.node, doing, h("h3", {}, "Well-known models"), known);
  // The same beside the picker, while the panel is closed.
  const chip = h("p", { class: "vs-chip live", hidden: true });
  const outside = errorLine();
  let busy = false;

  const list = async () => {
    let last = "";
    const rows = (await server.known_models()).map(
      ({ id, family, title, says, licence, megabytes, on_disk, gated }) => {
        const heading = family === last ? null : h("h4", { class: "vs-caption" }, family);
        last = family;
        const facts = h("small", { class: "vs-known-facts" }, `${licence}, ${fileSize(megabytes * 1e6)}`);
        if (on_disk) facts.append(h("b", {}, "on disk"));
        else if (gated) facts.append(h("span", {}, "needs a token"));
        const name = h("span", {}, title, h("small", {}, says));
        const onclick = () => open(id);
        return h(
          "li",
          {},
          heading,
          h("button", { type: "button", onclick }, name, h("span", {}, h("small", { class: "vs-id" }, id)), facts),
        );
      },
    );
    known.replaceChildren(...rows);
  };
  /** @param {Opening} opening */
  const show = (opening) => {
    if (opening.state === "failed") {
      const isOpen = node.matches(":popover-open");
      (isOpen ? error : outside).say(opening.error);
      (isOpen ? outside : error).say(null);
      return;
    }
    const progress = progressOf(opening);
    says.textContent = progress.says;
    chip.textContent = progress.chip;
    showShare(bar, progress.share);
  };
  /** Waits until the model is open, or is not going to be. @param {string} text @returns {Promise<Opening>} */
  const wait = async (text) => {
    try {
      let opening = await server.open_model(text);
      while (opening.state === "waiting" || opening.state === "loading") {
        show(opening);
        await new Promise((done) => setTimeout(done, ASK));
        opening = await server.opening(opening.name);
      }
      return opening;
    } catch {
      return { name: text, state: "failed", done: 0, total: 0, error: NO_ANSWER, facts: null };
    }
  };
  /** @param {string} text */
  const open = async (text) => {
    if (busy || !text.trim()) {
      line.focus();
      return;
    }
    busy = true;
    line.value = text;
    error.say(null);
    outside.say(null);
    show({ name: text, state: "waiting", done: 0, total: 0, error: null, facts: null });
    const late = setTimeout(() => {
      doing.hidden = chip.hidden = false;
    }, LATE);
    const opening = await wait(text);
    clearTimeout(late);
    doing.hidden = chip.hidden = true;
    busy = false;
    show(opening);
    if (opening.state !== "done" || !opening.facts) return;
    if (node.matches(":popover-open")) node.hidePopover();
    line.value = "";
    opened(opening.facts);
  };

  const opener = button("Open…", () => {}, { popovertarget: node.id, "aria-haspopup": "dialog" });
  node.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== "open") return;
    const box = opener.getBoundingClientRect();
    const right = root.getBoundingClientRect().right;
    node.style.top = `${box.bottom + window.scrollY + MARGIN}px`;
    node.style.left = `${Math.max(EDGE, Math.min(box.left, right - node.offsetWidth))}px`;
    outside.say(null);
    line.focus();
    list().catch(() => {}); // without it there is still the line
  });
  return { button: opener, node, chip, outside: outside.node, open };
}
