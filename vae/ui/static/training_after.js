// What can be done with a run that has ended: its map, its priors, a link to it.

/** @import { PreviewWanted, PriorState, RunChange, RunChanged } from "./types" */
import { announce, button, errorLine, h, NO_ANSWER, openTab } from "./dom.js";
import { tell } from "./topics.js";
import { trainingPrior } from "./training_prior.js";

const COPIED = 2000; // ms, for which it is said

/** The address that opens samples of a run. @param {string} run @param {string} here this page's address */
export function sharedLink(run, here) {
  const url = new URL(here);
  url.search = String(new URLSearchParams({ tab: "sample", model: run }));
  url.hash = "";
  return url.href;
}

/** @param {object} options
 * @param {(what: RunChange) => Promise<RunChanged>} options.change
 * @param {(asked: { run: string, wanted: PreviewWanted[] }) => Promise<Record<string, string>>} options.fetchPreviews
 */
export function trainingAfter({ change, fetchPreviews }) {
  const problem = errorLine();
  /** @type {string | null} */
  let run = null;
  let own = false;

  /** A tab that shows the run's model. @param {string} name of the run @param {string} tab */
  const open = (name, tab) => {
    tell("use-model", name);
    openTab(tab);
  };
  /** Has something of the run made, if it is the visitor's, and opens the tab that shows it.
   * @param {string} text @param {"map" | "fit"} act @param {string} meanwhile @param {string} tab */
  const making = (text, act, meanwhile, tab) => {
    const work = async () => {
      const asked = run;
      if (asked === null) return;
      node.disabled = true;
      node.textContent = meanwhile;
      problem.say(null);
      const answer = own ? await change({ run: asked, do: act }).catch(() => ({ error: NO_ANSWER })) : {};
      node.disabled = false;
      node.textContent = text;
      if (answer.error) problem.say(answer.error);
      else if (node.offsetParent && run === asked)
        open(asked, tab); // else the visitor has gone elsewhere
      else announce(`${text}: done for ${asked}.`);
    };
    const node = button(text, work);
    return node;
  };
  const map = making("Map it", "map", "Mapping…", "Latent space");
  const fit = making("Fit priors", "fit", "Fitting…", "Sample");
  const share = button("Share", async () => {
    if (run === null) return;
    const url = sharedLink(run, location.href);
    if (matchMedia("(pointer: coarse)").matches && navigator.share) {
      await navigator.share({ title: `Samples of ${run}`, url }).catch(() => {}); // the visitor thought better of it
      return;
    }
    const copied = await navigator.clipboard.writeText(url).then(
      () => true,
      () => false,
    );
    problem.say(copied ? null : `The link: ${url}`);
    if (!copied) return;
    share.textContent = "Link copied";
    announce("The link is copied.");
    setTimeout(() => {
      share.textContent = "Share";
    }, COPIED);
  });
  const prior = trainingPrior({
    act: async (what) => {
      problem.say(null);
      const answer = await change({ run, do: what }).catch(() => ({ error: NO_ANSWER }));
      if (answer.error) problem.say(answer.error);
    },
    fetchPreviews,
    draw: () => run !== null && open(run, "Sample"),
  });
  const says = h("span", { class: "vs-caption" }, "It has learned. Next:");
  const node = h(
    "div",
    { class: "vs-after", hidden: true },
    says,
    map,
    fit,
    prior.begin,
    share,
    problem.node,
    prior.node,
  );

  return {
    node,
    /** @param {{ run: string | null, ready: boolean, own: boolean, prior: PriorState | null }} now
     * ready: whether it has ended and left a model; own: whether it may be changed; prior: its diffusion prior */
    set(now) {
      if (run !== now.run) problem.say(null);
      ({ run, own } = now);
      node.hidden = run === null || !now.ready;
      fit.hidden = !own;
      prior.set(now);
    },
  };
}
