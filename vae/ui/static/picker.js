// The model picker: a native select with the model's facts beside it. It asks the server now and then whether the list
// has changed, so that a model that has just been trained is there for everybody at once.
(() => {
  VS.part("picker", ({ root, props, server, watch }) => {
    const h = VS.h;
    const select = h("select", { id: "vs-model", class: "vs-select" });
    const facts = h("ul", { class: "vs-chips", "aria-label": "The model's facts" });
    root.append(h("label", { for: "vs-model" }, "Model"), select, facts);
    let models = props.models, version = props.version, wanted = null;

    const groups = [["live", "Training now"], ["bundled", "Ready-made"], ["run", "Trained here"]];
    const title = (model) => (model.kind === "live" ? `${model.name} (live, epoch ${model.epoch})` : model.name);
    const draw = () => {
      const options = groups.map(([kind, label]) => {
        const members = models.filter((m) => m.kind === kind);
        return members.length ? h("optgroup", { label }, members.map((m) => h("option", { value: m.name }, title(m)))) : null;
      });
      select.replaceChildren(...options.filter(Boolean));
      select.value = props.value;
      const model = models.find((m) => m.name === props.value);
      const chip = (text, live) => h("li", { class: live ? "live" : "" }, text);
      facts.replaceChildren(...(model ? [
        model.kind === "live" ? chip("live", true) : null,
        chip(`${VS.num(model.parameters, 9)} parameters`),
        chip(`latent ${model.latent_shape.join(" × ")}`),
        model.trained_on ? chip(`trained on ${model.trained_on}`) : null,
      ].filter(Boolean) : []));
    };
    const choose = (name) => { props.value = name; draw(); };
    select.addEventListener("change", () => choose(select.value));
    const ask = VS.poll(root, 2000, async () => {
      const news = await server.model_list({ version });
      if (news.models) {
        ({ models, version } = news);
        if (wanted && models.some((m) => m.name === wanted)) { choose(wanted); wanted = null; }
        else if (models.length && !models.some((m) => m.name === props.value)) choose(models[0].name);
        else draw();
      }
    });
    VS.on("use-model", (name) => { if (name) { wanted = name; version = null; ask(); } });
    watch("value", draw);
    draw();
  });
})();
