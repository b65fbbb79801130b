// A training, watched: state, curves and previews of one run, kept up to date by asking for what is new since a cursor.
(() => {
  const LIVE = ["starting", "running"];
  const TERMS = [["loss", "Total loss", "reconstruction + β · KL"], ["reconstruction", "Reconstruction", "how far from the original"], ["kl", "KL divergence", "how far from N(0, I), in nats"]];

  VS.part("train", ({ root, props, trigger, server, watch }) => {
    const h = VS.h;
    const share = { log: true, cursor: null, perEpoch: 1, redraw: () => charts.forEach((chart) => chart.draw()) };
    const charts = TERMS.map(([, title, term]) => VS.chart(title, term, share));
    const select = h("select", { id: "vs-run", class: "vs-select" });
    const chip = h("span", { class: "vs-chip" }), facts = h("p", { class: "vs-caption" });
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the training" });
    const reason = h("p", { class: "vs-error", hidden: true });
    const scale = h("button", { type: "button", class: "vs-button", "aria-pressed": "true", onclick: () => {
      share.log = !share.log;
      scale.textContent = share.log ? "Linear scale" : "Log scale";
      share.redraw();
    } }, "Linear scale");
    const use = h("button", { type: "button", class: "vs-button", onclick: () => { VS.tell("use-model", run); VS.goTo("Sample"); } }, "Sample from this model");
    const picture = (title) => {
      const image = h("img", { class: "crisp", alt: "" }), when = h("span", {});
      const save = h("a", { class: "vs-link", hidden: true }, "PNG"), note = h("figcaption", {}, h("strong", {}, title), when, save);
      const frame = h("div", { class: "vs-preview-frame" }, image);
      const node = h("figure", { class: "vs-preview" }, note, frame);
      return { node, set: (preview) => {
        save.hidden = !preview;
        if (!preview) { image.removeAttribute("src"); when.textContent = image.alt = ""; return; }
        save.href = preview.uri;
        save.download = `${preview.kind}-epoch-${preview.epoch}.png`;
        image.src = preview.uri;
        image.onload = () => { image.style.width = `${image.naturalWidth * Math.min(VS.factor(image.naturalWidth, frame.clientWidth), 4)}px`; };
        when.textContent = ` after epoch ${VS.num(preview.epoch)}`;
        image.alt = `${title} after epoch ${preview.epoch}`;
      } };
    };
    const previews = { samples: picture("Samples from noise"), reconstruction: picture("Originals and reconstructions") };
    root.append(
      h("div", { class: "vs-head" }, h("div", { class: "vs-run" }, h("label", { for: "vs-run" }, "Run"), select, chip), h("div", { class: "vs-actions" }, scale, use)),
      facts, bar, reason,
      h("div", { class: "vs-charts" }, charts.map((chart) => chart.node)),
      h("div", { class: "vs-previews" }, previews.samples.node, previews.reconstruction.node));

    let run = null, cursor = null, seen = {}, steps = [], epochs = [], last = "", follow = true;
    const forget = () => { [cursor, seen, steps, epochs] = [null, {}, [], []]; Object.values(previews).forEach((p) => p.set(null)); };
    const watchRun = (name) => { if (name !== run) { run = name; forget(); ask(); } };
    select.addEventListener("change", () => { follow = false; watchRun(select.value); });

    const points = (rows, name) => rows.filter((row) => row[name] !== undefined && row[name] !== null).map((row) => [row.step, row[name]]);
    const draw = () => TERMS.forEach(([name], i) => {
      const train = points(steps.length > 1 ? steps : epochs, name);
      charts[i].set([{ name: "train", colour: "accent", points: train }, { name: "validation", colour: "second", dots: true, points: points(epochs, `val_${name}`) }]);
    });

    const ask = VS.poll(root, 1000, async () => {
      const asked = run;
      const news = await server.watch_run({ run, cursor, seen, follow });
      if (asked !== run) return; // another run was chosen meanwhile
      if (news.run !== run || news.reset) { run = news.run; forget(); }
      const names = news.runs.map((r) => `${r.name}|${r.state}`).join();
      if (names !== last || select.value !== run) {
        last = names;
        select.replaceChildren(...news.runs.map((r) => h("option", { value: r.name }, `${r.name} (${r.state})`)));
        if (!news.runs.length) select.append(h("option", {}, "no run yet"));
        select.value = run ?? "no run yet";
      }
      cursor = news.cursor;
      const { state } = news, live = LIVE.includes(state.state);
      if (news.rows.length) {
        for (const row of news.rows) (row.kind === "epoch" ? epochs : steps).push(row);
        share.perEpoch = news.steps_per_epoch || 1;
      }
      for (const preview of news.previews) { previews[preview.kind].set(preview); seen[preview.kind] = preview.step; }
      draw();
      chip.textContent = state.state || "nothing yet";
      chip.classList.toggle("live", live);
      bar.value = state.steps ? state.step / state.steps : 0;
      bar.classList.toggle("live", live);
      use.disabled = !news.has_model;
      facts.textContent = run === null ? "Press Start training: the handwritten digits take less than a minute." : [
        state.epochs ? `epoch ${VS.num(Math.min(state.epochs, state.epoch))} of ${state.epochs}` : null,
        state.images_per_second ? `${VS.num(state.images_per_second)} images a second` : null,
        live && state.seconds_left !== null && state.seconds_left !== undefined ? `${VS.time(Math.max(1, Math.round(state.seconds_left)))} left` : null,
        epochs.length && epochs.at(-1).val_loss !== undefined ? `validation loss ${VS.num(epochs.at(-1).val_loss)}` : null,
      ].filter(Boolean).join(", ") || "Getting the data ready";
      reason.hidden = !(state.reason && state.state !== "finished");
      reason.textContent = state.reason || "";
      const summary = `${run}|${state.state}`;
      if (root.dataset.summary !== summary) { root.dataset.summary = summary; trigger("state", { run, live }); if (run) VS.say(`Training ${run}: ${state.state}.`); }
    });
    // Python says here which run it has just started.
    watch("value", () => { if (props.value?.run) { follow = true; watchRun(props.value.run); } });
    VS.onTheme(share.redraw);
    draw();
  });
})();
