// The time machine: a slider over a run's previews. What it has seen it keeps; what it has not, it asks for when needed.
(() => {
  const KINDS = [["samples", "Samples from noise"], ["reconstruction", "Originals and reconstructions"]];
  const AT_ONCE = 12; // pictures in one answer
  const THRIFT = 1500; // bytes a second for pictures nobody asked for

  VS.timeMachine = ({ fetchPreviews }) => {
    const h = VS.h;
    let run = null, moments = [], perEpoch = 1, cache = new Map(), missing = new Set(), at = -1, newest = true, busy = false, next = 0, ahead = false, timer = null;
    const slider = h("input", { type: "range", class: "vs-scrub", min: 0, max: 0, value: 0, disabled: true, "aria-label": "Moment of the training" });
    const when = h("output", { class: "vs-when" }, "");
    const play = h("button", { type: "button", class: "vs-button small vs-play", disabled: true, "aria-label": "Play the training" }, VS.icon(VS.icons.play));
    const views = KINDS.map(([kind, title]) => {
      const canvas = h("canvas", { class: "crisp", role: "img", width: 1, height: 1 });
      const save = h("a", { class: "vs-link", hidden: true }, "PNG"), frame = h("div", { class: "vs-preview-frame empty" }, canvas);
      const node = h("figure", { class: "vs-preview" }, h("figcaption", {}, h("strong", {}, title), save), frame);
      let shown = null;
      const size = () => { if (shown) canvas.style.width = `${shown.naturalWidth * Math.min(VS.factor(shown.naturalWidth, frame.clientWidth), 4)}px`; };
      VS.resized(frame, size);
      return { kind, node, clear: () => { shown = null; save.hidden = true; canvas.width = canvas.height = 1; frame.classList.add("empty"); }, show: (entry, says, moment) => {
        if (shown === entry.image) return;
        shown = entry.image;
        [canvas.width, canvas.height] = [shown.naturalWidth, shown.naturalHeight];
        canvas.getContext("2d").drawImage(shown, 0, 0);
        frame.classList.remove("empty");
        size();
        canvas.setAttribute("aria-label", `${title} ${says}`);
        save.hidden = false;
        save.href = entry.uri;
        save.download = `${run}-${kind}-step-${moment.step}.png`;
      } };
    });
    const node = h("section", { class: "vs-time", "aria-label": "Time machine" },
      h("div", { class: "vs-time-row" }, h("h3", {}, "Time machine"), play, slider, when),
      h("div", { class: "vs-previews" }, views.map((view) => view.node)));

    const key = (kind, moment) => `${kind}-${moment.step}`;
    const says = (moment) => (moment.step === 0 ? "before training" : `after epoch ${VS.num(moment.step / perEpoch)}`);
    const wanting = (index) => {
      const moment = moments[index];
      return moment ? KINDS.map(([kind]) => kind).filter((kind) => moment[kind] && !cache.has(key(kind, moment)) && !missing.has(key(kind, moment))).map((kind) => [kind, moment.step]) : [];
    };

    const draw = () => {
      const moment = moments[at];
      slider.disabled = play.disabled = moments.length < 2;
      slider.max = Math.max(0, moments.length - 1);
      slider.value = Math.max(0, at);
      when.textContent = moment ? says(moment) : "";
      slider.setAttribute("aria-valuetext", moment ? says(moment) : "no preview yet");
      for (const view of views) {
        const entry = moment && cache.get(key(view.kind, moment));
        if (entry) view.show(entry, says(moment), moment);
      }
    };
    // Fetches what is wanted most: what is looked at, then, once the slider was touched, all others, the middle first.
    const order = () => {
      const found = [], step = (size) => { for (let i = size >> 1; i < moments.length; i += size) found.push(i); };
      for (let size = 2 ** Math.ceil(Math.log2(moments.length + 1)); size > 1; size >>= 1) step(size);
      return [...new Set([...found, 0, moments.length - 1])];
    };
    const pump = async () => {
      if (busy || !run) return;
      let wanted = Date.now() >= next || !newest ? wanting(at) : [];
      if (ahead) for (const i of order()) { if (wanted.length >= AT_ONCE) break; wanted.push(...wanting(i).filter((w) => !wanted.some((o) => String(o) === String(w)))); }
      wanted = wanted.slice(0, AT_ONCE);
      if (!wanted.length) return;
      busy = true;
      const asked = run;
      try {
        const found = await fetchPreviews({ run, wanted });
        const images = await Promise.all(Object.entries(found).map(async ([name, uri]) => [name, { uri, image: await VS.image(uri) }]));
        if (asked !== run) { busy = false; pump(); return; }
        for (const [kind, step] of wanted) if (!(`${kind}-${step}` in found)) missing.add(`${kind}-${step}`);
        for (const [name, entry] of images) cache.set(name, entry);
        next = Date.now() + images.reduce((sum, [, entry]) => sum + entry.uri.length, 0) / THRIFT * 1000;
        draw();
      } catch { next = Date.now() + 3000; ahead = false; busy = false; return; /* the server is away: the next tick tries again */ }
      busy = false;
      if (ahead || !newest) pump();
    };
    const go = (index) => { at = index; newest = index === moments.length - 1; draw(); pump(); };
    const halt = () => { clearInterval(timer); timer = null; play.replaceChildren(VS.icon(VS.icons.play)); play.setAttribute("aria-label", "Play the training"); };
    slider.addEventListener("pointerdown", () => { halt(); ahead = true; pump(); });
    slider.addEventListener("focus", () => { ahead = true; pump(); });
    slider.addEventListener("input", () => { halt(); go(Number(slider.value)); });
    play.addEventListener("click", () => {
      if (timer) { halt(); return; }
      ahead = true;
      go(at >= moments.length - 1 ? 0 : at);
      play.replaceChildren(VS.icon(VS.icons.pause));
      play.setAttribute("aria-label", "Pause");
      timer = setInterval(() => {
        if (!node.isConnected || at >= moments.length - 1) { halt(); return; }
        if (!wanting(at + 1).length) go(at + 1); else pump();
      }, 120);
    });

    return {
      node,
      // Another run, or this one told anew.
      forget: (name) => { halt(); [run, moments, cache, missing, at, newest, ahead, next] = [name, [], new Map(), new Set(), -1, true, false, 0]; views.forEach((view) => view.clear()); draw(); },
      add: (more, epochSteps) => {
        perEpoch = epochSteps || 1;
        if (more.length) moments = [...moments.filter((m) => m.step < more[0].step), ...more];
        if (newest) at = moments.length - 1;
        draw();
        pump();
      },
      last: () => moments.at(-1)?.step ?? -1,
    };
  };
})();
