// How much each number of a latent carries, as bars.

/** @import { LatentSpace } from "./types" */
import { barChart } from "./bar_chart.js";
import { number } from "./format.js";

/** @param {LatentSpace} facts @param {string} title the model's */
export function latentBars({ variational, active, dims, kl: all, bars }, title) {
  const total = `${number(active)} of ${number(dims)} numbers are active (dotted)`;
  return barChart({
    title: variational ? "Information in each number" : "Spread of each number",
    term: variational ? "KL per dimension" : "std; a plain auto-encoder has no KL",
    label: `The ${bars.length} largest of ${dims} latent dimensions of ${title}; arrow keys read them`,
    bars: bars.map((bar) => ({ ...bar, value: variational ? bar.kl : bar.std })),
    total: variational ? `${total}, ${number(all)} nats in all` : total,
    describe({ dim, kl, std, active: isActive }) {
      const carries = variational ? `KL ${number(kl)} nats, ` : "";
      return `number ${dim}: ${carries}std ${number(std)}, ${isActive ? "active" : "inactive"}`;
    },
  });
}
