// The reconstruction: original and reconstruction under one divider, the figures, and the latent's maps.
(() => {
  const mix = (a, b, t) => a.map((x, i) => Math.round(x + (b[i] - x) * t));
  const hex = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  // Diverging for the mean (blue below 0, orange above), sequential for sigma; the middle is the surface's own tone.
  const palette = (diverging) => {
    const dark = VS.dark(), zero = hex(dark ? "#2B2722" : "#F3EEE7");
    const low = hex(dark ? "#5AA9E6" : "#1B5E9B"), high = hex(dark ? "#FB923C" : "#C2410C");
    const one = hex(dark ? "#7CC4D4" : "#1F5F70");
    return (t) => (diverging ? mix(zero, t < 0 ? low : high, Math.min(1, Math.abs(t))) : mix(zero, one, Math.min(1, t)));
  };

  const heatmap = (map, limit, diverging, label, word) => {
    const [height, width] = [map.length, map[0].length];
    const canvas = VS.h("canvas", { class: "crisp", width, height, tabindex: 0, role: "img", "aria-label": label });
    const reading = VS.h("figcaption", {}, word);
    const figure = VS.h("figure", { class: "vs-map" }, canvas, reading);
    const draw = () => {
      const colour = palette(diverging), context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
      map.forEach((row, y) => row.forEach((v, x) => pixels.data.set([...colour(v / limit), 255], 4 * (y * width + x))));
      context.putImageData(pixels, 0, 0);
    };
    let at = null;
    const read = (x, y) => {
      at = [Math.max(0, Math.min(width - 1, x)), Math.max(0, Math.min(height - 1, y))];
      reading.textContent = `row ${at[1] + 1}, column ${at[0] + 1}: ${VS.num(map[at[1]][at[0]])}`;
    };
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      read(Math.floor(((event.clientX - box.left) / box.width) * width), Math.floor(((event.clientY - box.top) / box.height) * height));
    });
    const leave = () => { at = null; reading.textContent = word; };
    canvas.addEventListener("pointerleave", leave);
    canvas.addEventListener("blur", leave);
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      read(...(at ? [at[0] + move[0], at[1] + move[1]] : [0, 0]));
      VS.say(reading.textContent);
    });
    draw();
    return { figure, canvas, draw, width };
  };

  const legend = (limit, diverging) => {
    const bar = VS.h("span", { class: "vs-ramp", "aria-hidden": "true" });
    const paint = () => {
      const colour = palette(diverging), stops = [...Array(9).keys()].map((i) => (diverging ? i / 4 - 1 : i / 8));
      bar.style.background = `linear-gradient(90deg, ${stops.map((t) => `rgb(${colour(t).join()})`).join()})`;
    };
    paint();
    const node = VS.h("span", { class: "vs-legend" }, diverging ? VS.num(-limit) : "0", bar, VS.num(limit));
    return { node, paint };
  };

  VS.part("reconstruct", ({ root, props, watch }) => {
    const h = VS.h;
    const before = h("img", { alt: "" }), after = h("img", { alt: "", class: "after" });
    const range = h("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, class: "vs-divide", "aria-label": "Divider: original to the left, reconstruction to the right" });
    const frame = h("div", { class: "vs-frame" }, before, after, h("span", { class: "vs-handle", "aria-hidden": "true" }), range);
    const stage = h("div", { class: "vs-stage" }, frame);
    const ends = h("div", { class: "vs-ends" }, h("span", {}, "Original"), h("span", {}, "Reconstruction"));
    const stats = h("dl", { class: "vs-stats" });
    const saves = h("div", { class: "vs-actions" });
    const maps = h("div", { class: "vs-maps" });
    root.append(h("div", { class: "vs-compare" }, h("div", { class: "vs-left" }, stage, ends), h("div", { class: "vs-side" }, stats, saves)), maps);

    const divide = () => frame.style.setProperty("--at", `${range.value}%`);
    range.addEventListener("input", divide);
    divide();

    let drawn = [];
    const lay = VS.resized(root, () => {
      const value = props.value;
      if (!value) return;
      const room = stage.clientWidth, scale = Math.min(VS.factor(value.width, room), VS.factor(value.height, room));
      frame.style.width = `${value.width * scale}px`;
      frame.style.height = `${value.height * scale}px`;
      frame.classList.toggle("crisp", Math.max(value.width, value.height) <= VS.SMALL);
      for (const map of drawn) map.canvas.style.width = `${map.width * VS.factor(map.width, map.figure.clientWidth)}px`;
    });

    const tile = (word, term, number, unit, title) => h("div", { title },
      h("dt", {}, word, term ? h("small", {}, term) : null), h("dd", {}, number, unit ? h("small", {}, unit) : null));
    const section = (title, term, sentence, all, limit, diverging) => {
      const scale = legend(limit, diverging);
      const cells = all.map((map, i) => heatmap(map, limit, diverging, `${term}, channel ${i + 1}`, `channel ${i + 1}`));
      drawn.push(...cells, { ...cells[0], draw: scale.paint });
      return h("section", {}, h("h3", {}, title, h("small", {}, term), scale.node), h("p", {}, sentence),
        h("div", { class: "vs-map-row" }, cells.map((c) => c.figure)));
    };

    const show = () => {
      const value = props.value;
      if (!value) return;
      const what = value.seed === null ? "" : `, from posterior sample ${value.seed}`;
      before.src = value.original;
      after.src = value.image;
      before.alt = "The original, as the model saw it";
      after.alt = `The reconstruction${what}`;
      const [c, hgt, wid] = value.latent_shape;
      stats.replaceChildren(...[
        tile("Closeness", "PSNR", VS.num(value.psnr), "dB", "Peak signal-to-noise ratio: higher is closer, each 6 dB halves the error"),
        tile("Likeness", "SSIM", VS.num(value.ssim), "", "Structural similarity: 1 means the same picture"),
        tile("Remembered as", "latent", `${c} × ${hgt} × ${wid}`, `= ${VS.num(c * hgt * wid)} numbers`, "Channels × height × width of the latent"),
        tile("Compressed", "", VS.num(value.compression), "times", "Numbers in the picture for each number in the latent"),
        tile("Took", "", VS.time(value.seconds), value.tile ? `in tiles of ${value.tile} px` : "", "Encoding and decoding, on the server"),
        value.seed === null ? null : tile("Drawn with", "seed", String(value.seed), "", "The same seed gives the same picture again"),
      ].filter(Boolean));
      const save = (label, uri, name) => h("a", { class: "vs-button", href: uri, download: name }, VS.icon(VS.icons.download), label);
      saves.replaceChildren(save("Reconstruction", value.image, `reconstruction${value.seed === null ? "" : `-seed-${value.seed}`}.png`), save("Original", value.original, "original.png"));
      drawn = [];
      maps.replaceChildren(
        section("What the model remembers of the picture", "latent mean µ", value.mean_says, value.mean, value.mean_limit, true),
        value.sigma ? section("How unsure it is of each number", "standard deviation σ", value.sigma_says, value.sigma, value.sigma_limit, false)
          : h("section", {}, h("h3", {}, "How unsure it is of each number", h("small", {}, "standard deviation σ")), h("p", {}, value.sigma_says)));
      lay();
      VS.say(`Reconstructed: PSNR ${VS.num(value.psnr)} decibels, SSIM ${VS.num(value.ssim)}.`);
    };
    VS.onTheme(() => drawn.forEach((map) => map.draw()));
    watch("value", show);
    show();
  });
})();
