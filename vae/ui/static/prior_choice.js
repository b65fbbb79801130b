// The choice of the prior to draw from. Elsewhere buttons with data-prior choose, too.

/** @import { Context, PriorOption, PriorValue } from "./types" */
import { h } from "./dom.js";
import { glossed } from "./term.js";

/** @param {Context<PriorValue | null, object, { priors: PriorOption[] }>} context */
export default function mount({ root, props, trigger, watch, options }) {
  /** @type {string | null} */
  let mine = null; // the visitor's own choice
  const says = h("p", { class: "vs-prior-says" });
  const refused = h("p", { class: "vs-prior-refused" });

  const rows = options.priors.map(({ prior, name, term }) => {
    const onchange = () => {
      mine = prior;
      ask();
    };
    const input = h("input", { type: "radio", name: "vs-prior", value: prior, onchange });
    const lacking = h("em", { hidden: true }, "not fitted to this model");
    const text = h("span", {}, h("strong", {}, name), h("small", {}, term), lacking);
    return { prior, input, lacking, node: h("label", {}, input, text) };
  });
  const legend = h("legend", {}, "Where to draw from", h("small", {}, glossed("the prior")));
  root.append(
    h(
      "fieldset",
      { class: "vs-priors" },
      legend,
      rows.map((row) => row.node),
    ),
    says,
    refused,
  );
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    /** @type {HTMLElement | null} */
    const link = event.target.closest("[data-prior]");
    rows.find((row) => row.prior === link?.dataset.prior)?.input.click();
  });

  const show = () => {
    const value = props.value;
    const chosen = value?.chosen ?? null;
    for (const row of rows) {
      row.input.checked = row.prior === chosen;
      row.lacking.hidden = !value?.has || value.has.includes(row.prior);
    }
    says.textContent = options.priors.find((option) => option.prior === chosen)?.says ?? "";
    refused.textContent = value?.refused?.replaceAll("`", "") ?? "";
    refused.hidden = !value?.refused;
  };
  const ask = () => {
    props.value = { ...props.value, chosen: mine, wanted: mine };
    show();
    trigger("choose");
  };
  watch("value", () => {
    if (props.value?.linked) mine = props.value.wanted; // the visitor went back
    if (mine && props.value?.wanted !== mine)
      ask(); // this answers an earlier choice
    else show();
  });
  show();
}
