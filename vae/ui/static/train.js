// A training, watched: state, curves and previews, kept up to date by asking for what is new since a cursor.
(() => {
  const LIVE = ["starting", "running"];
  const MOST = 6; // runs in one chart
  const STORED = "vae-studio-token";

  // What this browser is known by as the one who started a run.
  let token = null;
  VS.token = () => {
    try { token ||= localStorage.getItem(STORED); } catch { /* no storage: until the page is closed */ }
    if (!token) {
      token = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      try { localStorage.setItem(STORED, token); } catch { /* as above */ }
    }
    return token;
  };

  VS.part("train", ({ root, props, server, watch, options }) => {
    const h = VS.h;
    // What the server sends as a row, short of some of the fields at its end, as an object.
    const named = (fields, row) => Object.fromEntries(row.map((value, i) => [fields[i], value]));
    const page = Math.random().toString(36).slice(2);
    const entries = new Map(), data = new Map(); // of all runs; of those drawn: {cursor, steps, epochs, perEpoch, colour}
    let order = [], version = null, run = null, follow = true, host = false, compared = [], next = 0, summary = "", state = {}, live = false, sorry = "";

    const select = h("select", { id: "vs-run", class: "vs-select" });
    const chip = h("span", { class: "vs-chip" }), facts = h("p", { class: "vs-caption" });
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the training" });
    const reason = h("p", { class: "vs-error", role: "alert", hidden: true });
    const change = async (what) => { const answer = await server.change_run({ token: VS.token(), ...what }); next = 0; ask(); return answer; };
    const act = (text, what) => {
      const button = h("button", { type: "button", class: "vs-button", disabled: true, onclick: async () => {
        button.disabled = true;
        const { error } = await change({ run, ...what() }).catch(() => ({ error: "The server does not answer; try again in a moment." }));
        sorry = error || "";
        draw();
      } }, text);
      return button;
    };
    const stop = act("Stop", () => ({ do: "stop" })), goOn = act("Continue", () => ({ do: "continue", epochs: state.epochs }));
    const use = h("button", { type: "button", class: "vs-button", disabled: true, onclick: () => { VS.tell("use-model", run); VS.goTo("Sample"); } }, "Sample from this model");
    const curves = VS.curves({ csv: (names) => server.curves_csv(names) });
    const time = VS.timeMachine({ fetchPreviews: (asked) => server.see_previews(asked) });
    const list = VS.runList({ watch: (name) => { follow = false; watchRun(name); }, compare: (name, on) => { compared = on ? [...new Set([...compared, name])].slice(0, MOST - 1) : compared.filter((n) => n !== name); next = 0; draw(); ask(); }, change, colour: (name) => data.get(name)?.colour || "accent", most: MOST, training: options.training, maxEpochs: options.max_epochs });
    root.append(
      h("div", { class: "vs-head" }, h("div", { class: "vs-run" }, h("label", { for: "vs-run" }, "Run"), select, chip), h("div", { class: "vs-actions" }, stop, goOn, use)),
      facts, bar, reason, curves.node, time.node, list.node);

    // The runs that are drawn, the one looked at first; each keeps its colour as long as it is drawn.
    const drawn = () => [run, ...compared.filter((name) => name !== run && entries.has(name))].filter(Boolean).slice(0, MOST);
    const settle = () => {
      const names = drawn();
      for (const name of data.keys()) if (!names.includes(name)) data.delete(name);
      for (const name of names) {
        const taken = [...data.values()].map((d) => d.colour);
        if (!data.has(name)) data.set(name, { name, cursor: null, steps: [], epochs: [], perEpoch: 1, colour: VS.RUN_COLOURS.find((c) => !taken.includes(c)) });
      }
      if (names.length === 1) data.get(names[0]).colour = "accent";
      return names;
    };
    const watchRun = (name) => {
      sorry = "";
      if (name !== run) {
        if (!compared.includes(name)) compared = [];
        else if (run) compared = [...compared, run];
        run = name;
        time.forget(run);
        curves.whole();
      }
      next = 0;
      draw();
      ask();
    };
    select.addEventListener("change", () => { follow = false; watchRun(select.value); });

    const draw = () => {
      const names = settle(), all = order.map((name) => entries.get(name)).filter(Boolean), may = host || entries.get(run)?.mine;
      curves.set(names.map((name) => data.get(name)));
      list.set({ runs: all, chosen: run, compared: names.length > 1 ? names : compared.concat(run || []), host });
      const options_ = all.map((r) => `${r.name} (${r.state})`).join("|");
      if (select.dataset.options !== options_) {
        select.dataset.options = options_;
        select.replaceChildren(...all.map((r) => h("option", { value: r.name }, `${r.name} (${r.state})`)));
        if (!all.length) select.append(h("option", {}, "no run yet"));
      }
      select.value = run ?? "no run yet";
      chip.textContent = state.state || "nothing yet";
      chip.classList.toggle("live", live);
      bar.value = state.steps ? state.step / state.steps : 0;
      bar.classList.toggle("live", live);
      const ended = ["interrupted", "stopped"].includes(state.state) && options.training;
      stop.disabled = !(live && may);
      stop.title = live && !may ? "Only who started this run, or the host, can stop it." : "";
      stop.hidden = ended;
      goOn.hidden = !ended;
      goOn.disabled = !may;
      goOn.title = may ? `Go on to epoch ${VS.num(state.epochs)}` : "Only who started this run, or the host, can continue it.";
      const says = sorry || (state.state !== "finished" && state.reason) || "";
      if (reason.textContent !== says) reason.textContent = says;
      reason.hidden = !says;
      reason.classList.toggle("plain", !sorry && state.state === "stopped");
      const lastEpoch = data.get(run)?.epochs.at(-1);
      facts.textContent = run === null ? "Press Start training: the handwritten digits take less than a minute." : [
        state.epochs ? `epoch ${VS.num(Math.min(state.epochs, state.epoch ?? state.epochs))} of ${VS.num(state.epochs)}` : null,
        state.images_per_second ? `${VS.num(state.images_per_second)} images a second` : null,
        live && state.seconds_left !== undefined ? `${VS.time(Math.max(1, Math.round(state.seconds_left)))} left` : null,
        lastEpoch ? `validation loss ${VS.num(lastEpoch.val_loss)}` : null,
        state.skipped ? `${VS.num(state.skipped)} ${state.skipped === 1 ? "picture" : "pictures"} could not be read` : null,
      ].filter(Boolean).join(", ") || "Getting the data ready";
    };

    const ask = VS.poll(root, 250, async () => {
      if (Date.now() < next) return;
      const asked = run, names = settle();
      const cursors = Object.fromEntries(names.map((name) => [name, data.get(name).cursor]));
      const news = await server.watch_run({ page, run, follow, list: version, cursors, seen: time.last(), token: VS.token() });
      next = Date.now() + news.wait - 60;
      host = news.host;
      version = news.list.version;
      for (const entry of news.list.changed) entries.set(entry.name, entry);
      if (news.list.names) { order = news.list.names; for (const name of entries.keys()) if (!order.includes(name)) entries.delete(name); }
      if (asked !== run) { next = 0; return; } // another run was chosen meanwhile
      if (news.run !== run) { run = news.run; compared = []; time.forget(run); curves.whole(); }
      settle();
      for (const [name, curve] of Object.entries(news.curves)) {
        const kept = data.get(name);
        if (!kept) continue;
        if (curve.reset) { [kept.steps, kept.epochs] = [[], []]; if (name === run) time.forget(run); }
        for (const row of curve.rows.map((values) => named(options.row_fields, values))) ("val_loss" in row ? kept.epochs : kept.steps).push(row);
        [kept.cursor, kept.perEpoch] = [curve.cursor, curve.per_epoch || 1];
      }
      state = news.state;
      time.add(news.previews.map((values) => named(options.preview_fields, values)), data.get(run)?.perEpoch);
      use.disabled = !news.has_model;
      if (live !== LIVE.includes(state.state)) [sorry, live] = ["", !live];
      draw();
      const now = `${run}|${state.state}`;
      if (summary !== now) { if (run && summary) VS.say(`Training ${run}: ${state.state}.`); summary = now; }
    });
    // Python says here which run it has just started.
    watch("value", () => { if (props.value?.run) { follow = true; watchRun(props.value.run); } });
    draw();
  });
})();
