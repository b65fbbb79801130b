// The training of a diffusion prior for a run that has ended: how far it is, and what it draws by now.

/** @import { PriorState, PreviewWanted } from "./types" */
import { button, h, loadImage } from "./dom.js";
import { duration, number } from "./format.js";
import { showShare } from "./progress.js";
import { isLive } from "./training_facts.js";
import { previewView } from "./training_previews.js";

/** What is said of it. @param {PriorState} prior */
export function priorFacts({ state, reason, step = 0, steps = 0, share = 0, seconds_left }) {
  const updates = `update ${number(step)} of ${number(steps)}`;
  if (!state) return "It has learned: noise becomes latents that this model decodes.";
  if (state === "starting") return `Encoding the images, ${Math.round(100 * share)}%`;
  if (state !== "running") return `${reason ?? ""} It is at ${updates}.`.trim();
  return seconds_left === undefined ? updates : `${updates}, ${duration(Math.max(1, Math.round(seconds_left)))} left`;
}

/**
 * @param {object} options
 * @param {(act: "prior" | "stop prior") => Promise<void>} options.act
 * @param {(asked: { run: string, wanted: PreviewWanted[] }) => Promise<Record<string, string>>} options.fetchPreviews
 * @param {() => void} options.draw opens what draws from it
 */
export function trainingPrior({ act, fetchPreviews, draw }) {
  /** @param {string} text @param {"prior" | "stop prior"} what @param {object} [more] */
  const acting = (text, what, more = {}) => {
    const node = button(
      text,
      async () => {
        node.disabled = true;
        await act(what);
        node.disabled = false;
      },
      { ...more },
    );
    return node;
  };
  const begin = acting("Train a diffusion prior", "prior", {
    title: "A small transformer that turns noise into this model's latents; it takes minutes",
  });
  const stop = acting("Stop", "stop prior", { "aria-label": "Stop the diffusion prior" });
  const goOn = acting("Continue", "prior", { "aria-label": "Continue the diffusion prior" });
  const use = button("Draw from it", draw);
  const facts = h("span", { class: "vs-caption" });
  const bar = h("progress", { class: "live", max: 1, "aria-label": "Progress of the diffusion prior" });
  const view = previewView("prior", "What it draws by now");
  const head = h("div", { class: "vs-prior-head" }, h("strong", {}, "Diffusion prior"), facts, stop, goOn, use);
  const node = h("section", { class: "vs-prior", "aria-label": "Diffusion prior", hidden: true }, head, bar, view.node);
  /** @type {string | null} */
  let run = null;
  let seen = -1; // the update after which the draws that are shown were made
  let busy = false;

  /** @param {string} asked the run @param {PriorState} prior */
  const look = async (asked, prior) => {
    const step = prior.seen ?? -1;
    if (busy || step === seen) return;
    busy = true;
    try {
      const uri = (await fetchPreviews({ run: asked, wanted: [["prior", step]] }))[`prior-${step}`];
      if (!uri) return; // newer ones are there
      const image = await loadImage(uri);
      if (asked !== run) return;
      seen = step;
      view.node.hidden = false;
      view.show({ uri, image }, `after update ${number(step)}`, `${asked}-prior-${step}.png`);
    } catch {
      // the server is away: the next news tries again
    } finally {
      busy = false;
    }
  };
  return {
    begin,
    node,
    /** @param {{ run: string | null, own: boolean, prior: PriorState | null }} now own: whether it may be changed */
    set(now) {
      if (run !== now.run) {
        run = now.run;
        seen = -1;
        view.clear();
        view.node.hidden = true;
      }
      const { prior, own } = now;
      const live = isLive(prior?.state);
      begin.hidden = !own || prior !== null;
      node.hidden = prior === null;
      if (!prior || run === null) return;
      stop.hidden = !live || !own;
      goOn.hidden = live || !own || !prior.state;
      use.hidden = live || !prior.drawable;
      facts.textContent = priorFacts(prior);
      bar.hidden = !prior.state;
      bar.classList.toggle("live", live);
      showShare(bar, prior.state === "starting" ? prior.share : (prior.step ?? 0) / (prior.steps || 1));
      if (prior.seen !== undefined) look(run, prior);
    },
  };
}
