// The model picker: a native select with the model's facts beside it, and a panel to open models that are not listed.
// It asks the server now and then whether the list has changed, so that a model that has just been trained is there for
// everybody at once. What a visitor opened is listed on this page alone.
(() => {
  const GROUPS = [["live", "Training now"], ["bundled", "Ready-made"], ["run", "Trained here"], ["opened", "Opened by you"]];
  const short = (name) => (/^([~/]|\.|[A-Z]:)/.test(name) ? name.split(/[\\/]/).filter(Boolean).slice(-2).join("/") : name);
  const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e8 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e6).toFixed(1)} MB`);
  // The latent's shape; of a model that takes pictures of any size, as parts of theirs.
  VS.latent = (model) => {
    const [c, hgt, wid] = model.latent_shape, part = model.image_size / hgt;
    return model.fixed_size || part <= 1 ? `${c} × ${hgt} × ${wid}` : `${c} × h/${VS.num(part)} × w/${VS.num(part)}`;
  };

  // The panel: a line to type in, the well-known models, and how far the opening is.
  const openingPanel = ({ root, server, isPublic, opened }) => {
    const h = VS.h;
    const line = h("input", { type: "text", id: "vs-open-line", class: "vs-line", autocomplete: "off", spellcheck: "false", placeholder: isPublic ? "org/name" : "org/name, or a path", "aria-describedby": "vs-open-hint" });
    const go = h("button", { type: "submit", class: "vs-button" }, "Open");
    const hint = isPublic ? "A Hugging Face id; org/name/folder and org/name@revision are fine too." : "A Hugging Face id (org/name, org/name/folder, org/name@revision), or a folder or weight file on this machine.";
    const bar = h("progress", { class: "live", max: 1, "aria-label": "Progress of the opening" });
    const says = h("p", { class: "vs-caption" }), error = h("p", { class: "vs-error", role: "alert", hidden: true });
    const doing = h("div", { class: "vs-doing", hidden: true }, says, bar);
    const known = h("ul", { class: "vs-known" });
    const form = h("form", {}, h("label", { for: line.id }, "Open another model"), h("div", { class: "vs-line-row" }, line, go), h("p", { id: "vs-open-hint", class: "vs-caption" }, hint));
    const node = h("div", { class: "vs-open", popover: "auto", id: "vs-open" }, form, error, doing, h("h3", {}, "Well-known"), known);
    const chip = h("p", { class: "vs-chip live", hidden: true }), outside = h("p", { class: "vs-error", role: "alert", hidden: true });
    let busy = false;

    const list = async () => {
      const models = await server.known_models();
      known.replaceChildren(...models.map((m) => h("li", {}, h("button", { type: "button", onclick: () => open(m.id) },
        h("span", {}, m.title, h("small", {}, m.says)),
        h("span", {}, h("small", { class: "vs-id" }, m.id)),
        h("small", { class: "vs-known-facts" }, `${m.licence}, ${size(m.megabytes * 1e6)}`,
          m.on_disk ? h("b", {}, "on disk") : m.gated ? h("span", {}, "needs a token") : null)))));
    };
    const show = (at) => {
      if (at.state === "failed") {
        for (const p of [error, outside]) { p.textContent = at.error; p.hidden = node.matches(":popover-open") !== (p === error); }
        return;
      }
      const fetching = at.total > 0 && at.done < at.total;
      says.textContent = at.state === "waiting" ? `Waiting to open ${short(at.name)}` : fetching ? `Fetching ${short(at.name)}: ${size(at.done)} of ${size(at.total)}` : `Reading ${short(at.name)}`;
      if (fetching) bar.value = at.done / at.total; else bar.removeAttribute("value");
      chip.textContent = fetching ? `opening ${short(at.name)}, ${Math.floor((100 * at.done) / at.total)}%` : `opening ${short(at.name)}`;
    };
    const open = async (text) => {
      if (busy || !text.trim()) { line.focus(); return; }
      busy = true;
      line.value = text;
      error.hidden = outside.hidden = true;
      let at = { name: text, state: "waiting", done: 0, total: 0 };
      show(at);
      const late = setTimeout(() => { doing.hidden = chip.hidden = false; }, 300);
      try {
        at = await server.open_model(text);
        while (at.state === "waiting" || at.state === "loading") {
          show(at);
          await new Promise((wait) => setTimeout(wait, 250));
          at = await server.opening(at.name);
        }
      } catch {
        at = { state: "failed", error: "The server does not answer; try again in a moment." };
      }
      clearTimeout(late);
      doing.hidden = chip.hidden = true;
      busy = false;
      show(at);
      if (at.state !== "done") return;
      if (node.matches(":popover-open")) node.hidePopover();
      line.value = "";
      opened(at.facts);
    };
    form.addEventListener("submit", (event) => { event.preventDefault(); open(line.value); });
    const button = h("button", { type: "button", class: "vs-button", popovertarget: node.id, "aria-haspopup": "dialog" }, "Open…");
    node.addEventListener("toggle", (event) => {
      if (event.newState !== "open") return;
      const box = button.getBoundingClientRect(), wide = root.getBoundingClientRect().right;
      node.style.top = `${box.bottom + window.scrollY + 8}px`;
      node.style.left = `${Math.max(12, Math.min(box.left, wide - node.offsetWidth))}px`;
      outside.hidden = true;
      line.focus();
      list().catch(() => {});
    });
    return { button, node, chip, outside };
  };

  VS.part("picker", ({ root, props, server, watch, options }) => {
    const h = VS.h;
    const select = h("select", { id: "vs-model", class: "vs-select" });
    const facts = h("ul", { class: "vs-chips", "aria-label": "The model's facts" });
    let { models, version } = options, wanted = null;
    const own = new Map();
    const panel = openingPanel({ root, server, isPublic: options.public, opened: (model) => {
      own.set(model.name, model);
      choose(model.name);
      select.focus();
      VS.say(`${model.name} is open: ${VS.num(model.parameters, 9)} parameters.`);
    } });
    root.append(h("label", { for: "vs-model" }, "Model"), select, panel.button, panel.chip, facts, panel.outside, panel.node);

    const all = () => [...models, ...[...own.values()].filter((m) => !models.some((listed) => listed.name === m.name))];
    const title = (model) => (model.kind === "live" ? `${model.name} (live, epoch ${model.epoch})` : short(model.name));
    const draw = () => {
      const groups = GROUPS.map(([kind, label]) => {
        const members = all().filter((m) => m.kind === kind);
        return members.length ? h("optgroup", { label }, members.map((m) => h("option", { value: m.name }, title(m)))) : null;
      });
      select.replaceChildren(...groups.filter(Boolean));
      select.value = props.value;
      const model = all().find((m) => m.name === props.value);
      const chip = (text, live) => h("li", { class: live ? "live" : "" }, text);
      facts.replaceChildren(...(model ? [
        model.kind === "live" ? chip("live", true) : null,
        chip(`${VS.num(model.parameters, 9)} parameters`),
        chip(`latent ${VS.latent(model)}`),
        model.trained_on ? chip(`trained on ${model.trained_on}`) : null,
      ].filter(Boolean) : []));
      VS.tell("models", { models: all(), chosen: props.value, title, choose });
    };
    const choose = (name) => { props.value = name; draw(); };
    select.addEventListener("change", () => choose(select.value));
    const ask = VS.poll(root, 2000, async () => {
      const news = await server.model_list({ version });
      if (news.models) {
        ({ models, version } = news);
        if (wanted && models.some((m) => m.name === wanted)) { choose(wanted); wanted = null; }
        else if (models.length && !all().some((m) => m.name === props.value)) choose(models[0].name);
        else draw();
      }
    });
    VS.on("use-model", (name) => { if (name) { wanted = name; version = null; ask(); } });
    watch("value", draw);
    draw();
  });
})();
