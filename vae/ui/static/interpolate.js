// The two ends of an interpolation, and the way between them.
(() => {
  // One end: {kind: "seed", seed} | {kind: "file", file} | {kind: "sample", …, uri, label}.
  VS.part("end", ({ root, props, upload, watch, options }) => {
    const h = VS.h, id = `vs-end-${options.side}`;
    const input = h("input", { type: "file", accept: "image/*", id: `${id}-file`, class: "vs-file" });
    const thumb = h("img", { class: "vs-thumb crisp", alt: "" });
    const says = h("span", { class: "vs-end-says" });
    const seed = h("input", { type: "number", min: 0, step: 1, id: `${id}-seed`, class: "vs-number" });
    const error = h("p", { class: "vs-error", role: "alert", hidden: true });
    const roll = h("button", { type: "button", class: "vs-button", title: "Another random latent", "aria-label": "Another random latent" }, VS.icon(VS.icons.redo));
    root.append(h("div", { class: "vs-end" }, thumb,
      h("div", { class: "vs-end-body" },
        h("div", { class: "vs-end-title" }, h("strong", {}, options.side), says),
        h("div", { class: "vs-end-controls" }, h("label", { for: seed.id }, "Seed"), seed, roll,
          h("label", { for: input.id, class: "vs-button" }, VS.icon(VS.icons.upload), "Picture"), input))), error);

    let own = null; // the visitor's picture or sample; null where the decoded end is the thumbnail
    const show = () => {
      const value = props.value || {};
      own = value.kind === "seed" ? null : value.uri || own;
      says.textContent = { seed: "a random latent", file: value.file?.orig_name, sample: value.label }[value.kind] || "";
      if (value.kind === "seed") seed.value = value.seed; else seed.value = "";
      seed.placeholder = value.kind === "seed" ? "" : "–";
      if (own) thumb.src = own;
      thumb.alt = `End ${options.side}: ${says.textContent}`;
      error.hidden = true;
    };
    const set = (value) => { props.value = value; show(); };
    const seeded = (number) => set({ kind: "seed", seed: number });
    seed.addEventListener("change", () => {
      const number = Number(seed.value);
      if (seed.value !== "" && Number.isSafeInteger(number) && number >= 0) seeded(number);
      else { error.textContent = "A seed is a whole number from 0 up."; error.hidden = false; }
    });
    roll.addEventListener("click", () => seeded(Math.floor(Math.random() * 1e6)));
    const take = VS.takesFiles({
      zone: root, input, upload,
      done: (value, uri) => { own = uri; set(value); },
      failed: (sentence) => { error.textContent = sentence; error.hidden = false; },
    });
    root.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
    VS.on("ends", (uris) => { if (!own) thumb.src = uris[options.side]; });
    watch("value", () => { own = null; show(); });
    show();
  });

  // All frames come in one sprite and are shown from it, so that scrubbing asks the server for nothing.
  VS.part("morph", ({ root, props, trigger, watch }) => {
    const h = VS.h;
    const canvas = h("canvas", { role: "img" });
    const stage = h("div", { class: "vs-stage vs-morph" }, canvas);
    const range = h("input", { type: "range", min: 0, max: 1, step: 1, value: 0, class: "vs-scrub", "aria-label": "Position between A and B" });
    const play = h("button", { type: "button", class: "vs-button", "aria-label": "Play" });
    const where = h("output", { class: "vs-where" });
    const strip = h("div", { class: "vs-strip", role: "group", "aria-label": "Filmstrip" });
    const saves = h("div", { class: "vs-actions" });
    root.append(stage, h("div", { class: "vs-scrub-row" }, play, h("span", { "aria-hidden": "true" }, "A"), range, h("span", { "aria-hidden": "true" }, "B"), where), strip, saves);
    let image = null, at = 0, playing = 0;

    const cell = (i) => [(i % props.value.columns) * props.value.width, Math.floor(i / props.value.columns) * props.value.height];
    const paint = (context, i, x = 0, y = 0, w = props.value.width, hgt = props.value.height) => {
      context.imageSmoothingEnabled = props.value.width > VS.SMALL;
      context.drawImage(image, ...cell(i), props.value.width, props.value.height, x, y, w, hgt);
    };
    const go = (i) => {
      if (!image) return;
      at = Math.max(0, Math.min(props.value.n - 1, i));
      range.value = at;
      const share = (at / (props.value.n - 1)).toFixed(2);
      range.setAttribute("aria-valuetext", `${share} of the way from A to B`);
      where.textContent = share;
      paint(canvas.getContext("2d"), at);
      canvas.setAttribute("aria-label", `Frame ${at + 1} of ${props.value.n}, ${share} of the way from A to B`);
      for (const button of strip.children) button.toggleAttribute("aria-current", Number(button.dataset.i) === at);
    };
    const stop = () => {
      cancelAnimationFrame(playing);
      playing = 0;
      play.replaceChildren(VS.icon(VS.icons.play));
      play.setAttribute("aria-label", "Play");
    };
    const start = () => {
      const from = performance.now() - (at / 16) * 1000, last = props.value.n - 1;
      const frame = (now) => {
        const k = Math.floor(((now - from) / 1000) * 16) % (2 * last); // there and back
        go(k <= last ? k : 2 * last - k);
        playing = requestAnimationFrame(frame);
      };
      playing = requestAnimationFrame(frame);
      play.replaceChildren(VS.icon(VS.icons.pause));
      play.setAttribute("aria-label", "Pause");
    };
    play.addEventListener("click", () => (playing ? stop() : image && start()));
    range.addEventListener("input", () => { stop(); go(Number(range.value)); });
    stop();

    const thumbnail = (i, size) => {
      const small = h("canvas", { width: props.value.width, height: props.value.height });
      paint(small.getContext("2d"), i);
      small.style.width = `${size}px`;
      return small;
    };
    const lay = VS.resized(root, () => {
      const value = props.value;
      if (!value || !image) return;
      canvas.style.width = `${value.width * Math.min(VS.factor(value.width, stage.clientWidth), VS.factor(value.height, stage.clientHeight))}px`;
      const size = value.width * VS.factor(value.width, strip.clientWidth < 500 ? 44 : 72);
      const count = Math.max(2, Math.min(value.n, Math.floor((strip.clientWidth + 4) / (size + 4))));
      strip.style.gridTemplateColumns = `repeat(${count}, ${size}px)`;
      strip.replaceChildren(...[...Array(count).keys()].map((k) => {
        const i = Math.round((k * (value.n - 1)) / (count - 1));
        return h("button", { type: "button", class: "vs-cell", "data-i": i, "aria-label": `Frame ${i + 1} of ${value.n}`, onclick: () => { stop(); go(i); } }, thumbnail(i, size));
      }));
      go(at);
    });
    const all = () => {
      const { n, width, height } = props.value, wide = h("canvas", { width: n * width, height });
      for (let i = 0; i < n; i++) paint(wide.getContext("2d"), i, i * width);
      return wide.toDataURL("image/png");
    };

    const show = async () => {
      const value = props.value;
      if (!value) return;
      const loaded = await VS.image(value.sprite);
      const share = image ? at / Math.max(1, range.max) : 0.5;
      image = loaded;
      canvas.width = value.width;
      canvas.height = value.height;
      stage.classList.toggle("crisp", value.width <= VS.SMALL);
      strip.classList.toggle("crisp", value.width <= VS.SMALL);
      range.max = value.n - 1;
      at = Math.round(share * (value.n - 1));
      const button = (label, action) => h("button", { type: "button", class: "vs-button", onclick: action }, VS.icon(VS.icons.download), label);
      const name = `${value.a_label}-to-${value.b_label}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
      saves.replaceChildren(
        button("Animation (GIF)", () => trigger("animate")),
        button("Strip (PNG)", () => VS.download(all(), `${name}.png`)),
        button("This frame (PNG)", () => VS.download(thumbnail(at, 1).toDataURL("image/png"), `${name}-${at + 1}.png`)),
        h("span", { class: "vs-caption" }, `${value.n} frames from ${value.a_label} to ${value.b_label}, ${value.mode}, ${VS.time(value.seconds)}`));
      VS.tell("ends", { A: thumbnail(0, 1).toDataURL(), B: thumbnail(value.n - 1, 1).toDataURL() });
      lay();
      VS.say(`${value.n} frames from ${value.a_label} to ${value.b_label} are ready.`);
    };
    watch("value", show);
    show();
  });

  // Saves a file that Python hands over as {uri, name}.
  VS.part("saver", ({ props, watch }) => watch("value", () => { if (props.value) VS.download(props.value.uri, props.value.name); }));
})();
