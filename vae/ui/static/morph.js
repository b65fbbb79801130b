// What lies between latents: the frames of a way or of a loop, or a grid as one sheet. All come in one sprite and
// are shown from it, so that scrubbing asks the server for nothing.
(() => {
  const FPS = 16;

  VS.part("morph", ({ root, props, trigger, watch, options }) => {
    const h = VS.h;
    const canvas = h("canvas", { role: "img" });
    const corners = ["A", "B", "C", "D"].map((side) => h("span", { class: "vs-corner", "aria-hidden": "true", hidden: true }, side));
    const stage = h("div", { class: "vs-stage vs-morph" }, h("div", { class: "vs-sheet" }, canvas, corners));
    const range = h("input", { type: "range", min: 0, max: 1, step: 1, value: 0, class: "vs-scrub" });
    const play = h("button", { type: "button", class: "vs-button", "aria-label": "Play" });
    const where = h("output", { class: "vs-where" });
    const last = h("span", { "aria-hidden": "true" }, "B");
    const scrub = h("div", { class: "vs-scrub-row" }, play, h("span", { "aria-hidden": "true" }, "A"), range, last, where);
    const strip = h("div", { class: "vs-strip", role: "group", "aria-label": "Filmstrip" });
    const size = h("select", { id: "vs-keep-size", class: "vs-select" }, options.sizes.map((pixels) => h("option", { value: pixels }, `${pixels} px`)));
    const saves = h("div", { class: "vs-actions vs-saves" }), caption = h("p", { class: "vs-caption" });
    root.append(stage, scrub, strip, saves, caption);
    let image = null, at = 0, playing = 0, turn = 0;

    const grid = () => props.value.kind === "grid";
    const round = () => props.value.kind === "loop";
    // Where a frame is: between which ends, and which share of the way from the one to the other.
    const place = (i) => {
      const { n, steps, labels } = props.value, sides = "ABCDEF";
      if (!round()) return { from: "A", to: "B", share: i / (n - 1) };
      const leg = Math.floor(i / steps);
      return { from: sides[leg], to: sides[(leg + 1) % labels.length], share: (i % steps) / steps };
    };
    const cell = (i) => [(i % props.value.columns) * props.value.width, Math.floor(i / props.value.columns) * props.value.height];
    const paint = (context, i, x = 0, y = 0, w = props.value.width, hgt = props.value.height) => {
      context.imageSmoothingEnabled = props.value.width > VS.SMALL;
      context.drawImage(image, ...cell(i), props.value.width, props.value.height, x, y, w, hgt);
    };
    const go = (i) => {
      if (!image || grid()) return;
      at = Math.max(0, Math.min(props.value.n - 1, i));
      range.value = at;
      const { from, to, share } = place(at), text = share.toFixed(2);
      range.setAttribute("aria-valuetext", `${text} of the way from ${from} to ${to}`);
      where.textContent = round() ? `${from}–${to} ${text}` : text;
      paint(canvas.getContext("2d"), at);
      canvas.setAttribute("aria-label", `Frame ${at + 1} of ${props.value.n}, ${text} of the way from ${from} to ${to}`);
      for (const button of strip.children) button.toggleAttribute("aria-current", Number(button.dataset.i) === at);
    };
    const stop = () => {
      cancelAnimationFrame(playing);
      playing = 0;
      play.replaceChildren(VS.icon(VS.icons.play));
      play.setAttribute("aria-label", "Play");
    };
    const start = () => {
      const from = performance.now() - (at / FPS) * 1000;
      const frame = (now) => {
        const end = props.value.n - 1, k = Math.floor(((now - from) / 1000) * FPS);
        const there = k % (2 * end); // a way is played there and back, a loop in a circle
        go(round() ? k % (end + 1) : there <= end ? there : 2 * end - there);
        playing = requestAnimationFrame(frame);
      };
      playing = requestAnimationFrame(frame);
      play.replaceChildren(VS.icon(VS.icons.pause));
      play.setAttribute("aria-label", "Pause");
    };
    play.addEventListener("click", () => (playing ? stop() : image && start()));
    range.addEventListener("input", () => { stop(); go(Number(range.value)); });
    stop();

    const thumbnail = (i, side) => {
      const small = h("canvas", { width: props.value.width, height: props.value.height });
      paint(small.getContext("2d"), i);
      small.style.width = `${side}px`;
      return small;
    };
    const lay = VS.resized(root, () => {
      const value = props.value;
      if (!value || !image) return;
      const rows = grid() ? value.steps : 1;
      const room = stage.clientWidth - (grid() ? 2 * corners[0].offsetWidth : 0);
      canvas.style.width = `${rows * value.width * Math.min(VS.factor(value.width, room / rows), VS.factor(value.height, stage.clientHeight / rows))}px`;
      if (grid()) return;
      const side = value.width * VS.factor(value.width, strip.clientWidth < 500 ? 44 : 72);
      const count = Math.max(2, Math.min(value.n, Math.floor((strip.clientWidth + 4) / (side + 4))));
      strip.style.gridTemplateColumns = `repeat(${count}, ${side}px)`;
      strip.replaceChildren(...[...Array(count).keys()].map((k) => {
        const i = Math.round((k * (value.n - 1)) / (count - 1));
        return h("button", { type: "button", class: "vs-cell", "data-i": i, "aria-label": `Frame ${i + 1} of ${value.n}`, onclick: () => { stop(); go(i); } }, thumbnail(i, side));
      }));
      go(at);
    });

    const show = async () => {
      const value = props.value, mine = ++turn;
      if (!value) return;
      const loaded = await VS.image(value.sprite);
      if (mine !== turn) return; // it loaded late
      const share = image && range.max > 1 ? at / range.max : 0.5, { n, steps, labels, kind } = value;
      image = loaded;
      if (grid()) stop();
      const rows = grid() ? steps : 1;
      canvas.width = rows * value.width;
      canvas.height = rows * value.height;
      for (const node of [stage, strip]) node.classList.toggle("crisp", value.width <= VS.SMALL);
      for (const node of [scrub, strip]) node.hidden = grid();
      for (const node of corners) node.hidden = !grid();
      if (grid()) {
        const context = canvas.getContext("2d");
        for (let i = 0; i < n; i++) paint(context, i, (i % steps) * value.width, Math.floor(i / steps) * value.height);
        canvas.setAttribute("aria-label", `${steps} rows of ${steps} pictures; in the corners ${labels.join(", ")}`);
      } else {
        range.max = n - 1;
        range.setAttribute("aria-label", round() ? "Position on the loop" : "Position between A and B");
        last.textContent = round() ? "A" : "B";
        at = Math.round(share * (n - 1));
      }
      const keep = (label, format) => h("button", { type: "button", class: "vs-button", onclick: () => trigger("keep", { format, size: Number(size.value) }) }, VS.icon(VS.icons.download), label);
      const name = labels.join("-to-").toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
      const one = h("button", { type: "button", class: "vs-button", onclick: () => VS.download(thumbnail(at, 1).toDataURL("image/png"), `${name}-${at + 1}.png`) }, VS.icon(VS.icons.download), "This frame (PNG)");
      saves.replaceChildren(h("label", { for: size.id }, "Up to"), size,
        ...(grid() ? [keep("Sheet (PNG)", "png")] : [keep("Animation (GIF)", "gif"), keep("Video (MP4)", "mp4"), keep("Strip (PNG)", "png"), one]));
      const made = { path: `${n} frames from ${labels[0]} to ${labels[1]}`, grid: `${steps} × ${steps} pictures between ${labels.join(", ")}`, loop: `${n} frames through ${labels.join(", ")} and back` }[kind];
      caption.textContent = `${made}, ${value.way}, ${VS.time(value.seconds)}`;
      const frames = { path: [0, n - 1], grid: [0, steps - 1, n - steps, n - 1], loop: labels.map((_, i) => i * steps) }[kind];
      VS.tell("ends", Object.fromEntries(frames.map((i, k) => ["ABCDEF"[k], thumbnail(i, 1).toDataURL()])));
      lay();
      VS.say(`${made} are ready.`);
    };
    watch("value", show);
    show();
  });
})();
