// What beta does: one slider through three models that differ in nothing else, and with it their maps, what they redraw
// and what they draw from noise.

/** @import { BetaRun, BetaRuns, BetaServer, Context } from "./types" */
import { betaMap } from "./beta_map.js";
import { announce, errorLine, h, NO_ANSWER, onResize, pixelRatio } from "./dom.js";
import { number } from "./format.js";
import { outlineOf, squareAround, unpackFloats } from "./map_geometry.js";

const FIRST = 1; // which of the runs is shown first
/** What one sees of a run, by its beta. @type {Record<number, string>} */
const SAYS = {
  0: `Nothing pulls: the model only learns to redraw, and does it best. But its digits lie wherever training left them,
    most of them far from where noise lands, and so noise becomes no digit.`,
  1: `The digits gather where noise lands, and share that place out between them. Redrawing loses a little sharpness;
    noise becomes something like digits.`,
  8: `The pull wins: all digits are sent to one place, so that their latents say nothing (posterior collapse).
    Whatever goes in, noise too, the same average of all digits comes out.`,
};
/** The covariance of N(0, I) on a map whose axes are of length one. */
const NOISE = [
  [1, 0],
  [0, 1],
];
const NEAR = "200px"; // of the screen, where it is fetched
const AGAIN = 5000; // ms until it is asked for again, where the server did not answer

/** An image of small ones, shown pixel by pixel. @param {string} alt */
function pixelImage(alt) {
  const image = h("img", { class: "crisp", alt });
  const node = h("div", { class: "vs-beta-image" }, image);
  const lay = onResize(node, () => {
    if (!image.naturalWidth) return;
    const ratio = pixelRatio();
    const scale = Math.floor((node.clientWidth * ratio) / image.naturalWidth) || 1;
    image.style.width = `${Math.min((image.naturalWidth * scale) / ratio, node.clientWidth)}px`;
  });
  image.addEventListener("load", lay);
  return { node, image };
}

/** @param {Context<null, BetaServer>} context */
export default function mount({ root, server }) {
  const problem = errorLine();
  const range = h("input", { type: "range", class: "vs-scrub", min: 0, max: 2, step: 1, value: FIRST, disabled: true });
  range.setAttribute("aria-label", "β, the weight of the KL");
  const marks = h("div", { class: "vs-beta-marks", "aria-hidden": "true" });
  const says = h("p", { class: "vs-beta-says" });
  const map = betaMap();
  const originals = pixelImage("Ten digits of the test set");
  const redrawn = pixelImage("The same digits, redrawn");
  const samples = pixelImage("25 images drawn from noise");
  /** @param {string} title @param {HTMLElement} small @param {...HTMLElement} nodes */
  const part = (title, small, ...nodes) => h("section", {}, h("h4", {}, title, small), ...nodes);
  const [spread, sharpness, seed] = [h("small"), h("small"), h("small")];
  const control = h("div", { class: "vs-beta-control" }, h("strong", {}, "β"), h("div", {}, range, marks));
  const parts = h(
    "div",
    { class: "vs-beta-parts" },
    part("Where the digits lie", spread, map.node),
    part("Digits, redrawn", sharpness, originals.node, redrawn.node),
    part("Drawn from noise", seed, samples.node),
  );
  root.append(control, says, problem.node, parts);

  /** @type {BetaRuns | null} */
  let found = null;
  /** @param {BetaRun} run @param {boolean} moved whether by the visitor */
  const show = (run, moved) => {
    const { beta, kl, psnr, points, centre } = run;
    const places = unpackFloats(points);
    const outline = outlineOf({ centre, spread: NOISE });
    map.show({ points: places, outline, view: squareAround(places, outline) }, moved);
    redrawn.image.src = run.reconstructions;
    samples.image.src = run.samples;
    says.textContent = SAYS[beta] ?? "";
    const information = `KL ${number(Math.round(100 * kl) / 100)} nats`;
    spread.textContent = information;
    sharpness.textContent = `PSNR ${number(psnr)} dB`;
    range.setAttribute("aria-valuetext", `β = ${beta}`);
    [...marks.children].forEach((mark, i) => {
      mark.classList.toggle("chosen", found?.runs[i] === run);
    });
    if (moved) announce(`β = ${beta}: ${information}, PSNR ${number(psnr)} dB.`);
  };
  range.addEventListener("input", () => {
    const run = found?.runs[Number(range.value)];
    if (run) show(run, true);
  });
  /** @param {BetaRuns} answer */
  const fill = (answer) => {
    found = answer;
    range.max = String(answer.runs.length - 1);
    range.disabled = false;
    marks.replaceChildren(...answer.runs.map(({ beta }) => h("span", {}, String(beta))));
    originals.image.src = answer.originals;
    seed.textContent = `seed ${answer.seed}`;
    map.setLabels(answer.labels);
    show(answer.runs[Number(range.value)], false);
  };
  const open = async () => {
    try {
      const answer = await server.beta_runs({});
      problem.say("error" in answer ? answer.error : null);
      if (!("error" in answer)) fill(answer);
    } catch {
      problem.say(NO_ANSWER);
      setTimeout(() => watch.observe(root), AGAIN);
    }
  };
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.at(-1)?.isIntersecting) return;
      watch.disconnect();
      open();
    },
    { rootMargin: NEAR },
  );
  watch.observe(root);
}
