// The list of runs: which is looked at, which are compared, and, for whoever started one, renaming, going on, deleting.
(() => {
  const LIVE = ["starting", "running"];
  const ago = (seconds) => {
    if (seconds < 60) return "just now";
    const [n, unit] = seconds < 3600 ? [seconds / 60, "minute"] : seconds < 86_400 ? [seconds / 3600, "hour"] : [seconds / 86_400, "day"];
    return `${Math.floor(n)} ${unit}${Math.floor(n) === 1 ? "" : "s"} ago`;
  };

  // watch(name), compare(name, on) and change(what) -> {run} | {error} are the page's; colour(name) is that of its curves.
  VS.runList = ({ watch, compare, change, colour, most, training, maxEpochs }) => {
    const h = VS.h;
    const table = h("div", { class: "vs-runs", role: "list" }), node = h("section", { class: "vs-all-runs" }, h("h3", {}, "Runs", h("small", {}, "tick some to compare their curves")), table);
    let runs = [], chosen = null, opened = null, compared = [], host = false, drawn = "";

    const panel = (entry) => {
      const error = h("p", { class: "vs-error", role: "alert", hidden: true });
      const act = async (button, what) => {
        button.disabled = true;
        const { run, error: sentence } = await change({ run: entry.name, ...what }).catch(() => ({ error: "The server does not answer; try again in a moment." }));
        button.disabled = false;
        error.hidden = !sentence;
        error.textContent = sentence || "";
        if (!sentence) { opened = null; drawn = ""; draw(); if (run) watch(run); }
      };
      const form = (says, input, button, what) => {
        const label = h("label", { for: input.id }, says);
        return h("form", { class: "vs-inline", onsubmit: (event) => { event.preventDefault(); act(button, what()); } }, label, input, button);
      };
      if (entry.bundled) return h("p", { class: "vs-caption vs-panel" }, "This training came with the model of the same name; it can be watched, not changed.");
      if (!entry.mine && !host) return h("p", { class: "vs-caption vs-panel" }, "Only who started this run, or the host, can change it. Everybody can watch.");
      if (LIVE.includes(entry.state)) return h("p", { class: "vs-caption vs-panel" }, "It is training; once it has ended it can be renamed, continued or deleted.");
      const name = h("input", { id: "vs-rename", class: "vs-line", type: "text", value: entry.name, maxlength: 80, spellcheck: "false", autocomplete: "off" });
      const epochs = h("input", { id: "vs-more-epochs", class: "vs-number", type: "number", min: 1, max: maxEpochs, value: entry.state === "finished" ? (entry.epochs || 1) * 2 : entry.epochs || 1 });
      const sure = h("div", { class: "vs-inline", hidden: true }, h("span", {}, `Delete ${entry.name}, its model and its pictures for good?`),
        h("button", { type: "button", class: "vs-button small danger", onclick: (event) => act(event.target, { do: "delete" }) }, "Delete"),
        h("button", { type: "button", class: "vs-button small", onclick: () => { sure.hidden = true; remove.hidden = false; remove.focus(); } }, "Keep"));
      const remove = h("button", { type: "button", class: "vs-button small danger", onclick: () => { remove.hidden = true; sure.hidden = false; sure.querySelectorAll("button")[1].focus(); } }, "Delete…");
      return h("div", { class: "vs-panel" },
        training ? form(entry.state === "finished" ? "Train on, to epoch" : "Go on, to epoch", epochs, h("button", { type: "submit", class: "vs-button small" }, "Continue"), () => ({ do: "continue", epochs: Number(epochs.value) })) : null,
        form("Name", name, h("button", { type: "submit", class: "vs-button small" }, "Rename"), () => ({ do: "rename", name: name.value })),
        remove, sure, error);
    };
    const row = (entry) => {
      const live = LIVE.includes(entry.state), open = opened === entry.name, on = compared.includes(entry.name);
      const tick = h("input", { type: "checkbox", "aria-label": `Compare ${entry.name}`, checked: on, disabled: on ? entry.name === chosen : compared.length >= most, style: on ? `--swatch: var(--vs-${colour(entry.name)})` : "" });
      tick.addEventListener("change", () => compare(entry.name, tick.checked));
      return h("div", { class: `vs-run-row${entry.name === chosen ? " chosen" : ""}`, role: "listitem", "data-run": entry.name }, tick,
        h("button", { type: "button", class: "vs-run-name", "aria-current": entry.name === chosen ? "true" : null, onclick: () => watch(entry.name) }, entry.name),
        h("span", { class: `vs-state ${entry.state}` }, entry.state),
        h("span", { class: "vs-run-best" }, h("small", {}, "best "), VS.num(entry.best)),
        h("span", { class: "vs-run-epochs" }, entry.epochs ? `${live || entry.epoch < entry.epochs ? `${VS.num(entry.epoch)} of ` : ""}${VS.num(entry.epochs)} ${entry.epochs === 1 ? "epoch" : "epochs"}` : ""),
        h("span", { class: "vs-run-age", "data-started": entry.started || "" }, entry.started ? ago(Date.now() / 1000 - entry.started) : "ready-made"),
        h("button", { type: "button", class: "vs-button small vs-more", "aria-expanded": String(open), "aria-label": `Change ${entry.name}`, onclick: () => { opened = open ? null : entry.name; drawn = ""; draw(); table.querySelector(`[data-run="${CSS.escape(entry.name)}"] .vs-more`)?.focus(); } }, "⋯"));
    };
    const draw = () => {
      const all = JSON.stringify([runs, chosen, compared, opened, host]);
      if (all === drawn) return;
      // What is being typed or about to be deleted is not redrawn under the visitor's hands.
      const typed = table.querySelector(".vs-panel"), state = runs.find((r) => r.name === opened)?.state;
      const same = typed && typed.dataset.about === `${opened} ${state} ${host}`;
      const focus = document.activeElement, inRow = focus?.closest?.(".vs-run-row")?.dataset.run, inPanel = same && typed.contains(focus);
      drawn = all;
      table.replaceChildren(...runs.map((entry) => {
        const made = row(entry);
        if (entry.name === opened) {
          const below = same ? typed : panel(entry);
          below.dataset.about = `${opened} ${state} ${host}`;
          made.append(below);
        }
        return made;
      }));
      if (inPanel) focus.focus();
      else if (inRow) [...table.querySelectorAll(`[data-run="${CSS.escape(inRow)}"] *`)].find((e) => e.className === focus.className && e.tagName === focus.tagName)?.focus();
      node.hidden = !runs.length;
    };
    setInterval(() => table.querySelectorAll("[data-started]").forEach((span) => { if (span.dataset.started) span.textContent = ago(Date.now() / 1000 - Number(span.dataset.started)); }), 30_000);
    return { node, set: (news) => { ({ runs, chosen, compared, host } = news); draw(); } };
  };
})();
