// One line before a training is started: the memory and the time that it will take, or why it cannot be.

/** @import { Context, OutlookServer, TrainingAsked } from "./types" */
import { announce, errorLine, h, NO_ANSWER, onResize } from "./dom.js";
import { listen } from "./topics.js";

const PATIENCE = 400; // ms without a change, after which it is asked

/** @param {Context<null, OutlookServer, TrainingAsked>} context */
export default function mount({ root, server, options }) {
  const line = h("p", { class: "vs-caption vs-outlook" });
  const error = errorLine();
  root.append(line, error.node);

  /** @type {TrainingAsked} */
  let wanted = options;
  /** @type {string | null} */
  let archive = null;
  let asked = "";
  let turn = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;

  const ask = async () => {
    const question = { ...wanted, data: archive ?? wanted.data };
    const text = JSON.stringify(question);
    if (text === asked || !root.clientWidth) return;
    asked = text;
    const mine = ++turn;
    line.classList.add("busy");
    /** @type {{ says?: string, error?: string }} */
    const found = await server.foresee(question).catch(() => ({ error: NO_ANSWER }));
    if (mine !== turn) return;
    line.classList.remove("busy");
    if (line.textContent && found.says && found.says !== line.textContent) announce(found.says);
    line.textContent = found.says ?? "";
    line.hidden = Boolean(found.error);
    error.say(found.error);
  };
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, PATIENCE);
  };
  listen("data", (/** @type {TrainingAsked} */ news) => {
    wanted = news;
    soon();
  });
  listen("archive", (/** @type {string | null} */ path) => {
    archive = path;
    soon();
  });
  onResize(root, soon);
}
