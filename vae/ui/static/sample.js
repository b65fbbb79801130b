// The grid of samples. All come in one sprite (PNG, cells side by side without gaps); every cell is a button.
(() => {
  VS.part("samples", ({ root, props, trigger, watch }) => {
    const h = VS.h;
    const caption = h("p", { class: "vs-caption" });
    const grid = h("div", { class: "vs-grid", role: "group", "aria-label": "Samples" });
    const stage = h("div", { class: "vs-square" }, grid);
    const bar = h("div", { class: "vs-actions vs-picked", "aria-label": "What to do with the chosen sample" });
    root.append(h("div", { class: "vs-head" }, caption), stage, bar);
    let picked = null, image = null;

    // Columns that make the cells largest in a square, then those that leave the last row fullest.
    const best = (value, room, gap) => {
      let found = { scale: 0 };
      for (let columns = 1; columns <= value.n; columns++) {
        const rows = Math.ceil(value.n / columns), empty = columns * rows - value.n;
        const fits = Math.min((room + gap) / columns - gap, ((room + gap) / rows - gap) * (value.width / value.height));
        const scale = fits > 1 ? VS.factor(value.width, fits) : 0;
        if (scale > found.scale || (scale === found.scale && empty < found.empty)) found = { scale, columns, empty };
      }
      return found;
    };

    const lay = VS.resized(stage, () => {
      const value = props.value;
      if (!value || value.waiting || !image) return;
      const gap = value.n > 144 ? 2 : 4, { scale, columns } = best(value, stage.clientWidth, gap);
      const [w, hgt] = [value.width * scale, value.height * scale];
      grid.style.cssText = `grid-template-columns: repeat(${columns}, ${w}px); gap: ${gap}px; --cell-w: ${w}px; --cell-h: ${hgt}px`;
      grid.classList.toggle("crisp", value.width <= VS.SMALL);
      [...grid.children].forEach((cell, i) => {
        cell.style.backgroundSize = `${value.columns * w}px auto`;
        cell.style.backgroundPosition = `${-(i % value.columns) * w}px ${-Math.floor(i / value.columns) * hgt}px`;
      });
    });

    // One cell as a PNG at its true size.
    const cut = (i) => {
      const { width, height, columns } = props.value, canvas = h("canvas", { width, height });
      canvas.getContext("2d").drawImage(image, (i % columns) * width, Math.floor(i / columns) * height, width, height, 0, 0, width, height);
      return canvas.toDataURL("image/png");
    };
    // The whole grid as a PNG at its true size, with the thin gaps that tell the samples apart.
    const whole = () => {
      const { width, height, n } = props.value, columns = Math.ceil(Math.sqrt(n)), rows = Math.ceil(n / columns), gap = 2;
      const canvas = h("canvas", { width: columns * (width + gap) - gap, height: rows * (height + gap) - gap }), context = canvas.getContext("2d");
      context.fillStyle = "#808080";
      context.fillRect(0, 0, canvas.width, canvas.height);
      for (let i = 0; i < n; i++)
        context.drawImage(image, (i % props.value.columns) * width, Math.floor(i / props.value.columns) * height, width, height,
          (i % columns) * (width + gap), Math.floor(i / columns) * (height + gap), width, height);
      return canvas.toDataURL("image/png");
    };

    const actions = () => {
      const value = props.value;
      const button = (label, action, icon) => h("button", { type: "button", class: "vs-button", disabled: picked === null, onclick: action }, icon ? VS.icon(icon) : null, label);
      const send = (to) => () => trigger("send", { to, index: picked, uri: cut(picked) });
      bar.replaceChildren(
        h("span", { class: "vs-picked-name" }, picked === null ? "Choose a sample to send it on" : `Sample ${picked + 1}`),
        button("Reconstruct", send("reconstruct")), button("Interpolate: A", send("a")), button("Interpolate: B", send("b")),
        button("PNG", () => VS.download(cut(picked), `sample-${picked + 1}-seed-${value.seed}.png`), VS.icons.download));
    };
    const pick = (i) => {
      picked = picked === i ? null : i;
      [...grid.children].forEach((cell, k) => cell.setAttribute("aria-pressed", String(k === picked)));
      actions();
    };
    grid.addEventListener("keydown", (event) => {
      const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      const next = step && grid.children[[...grid.children].indexOf(document.activeElement) + step];
      if (next) { event.preventDefault(); next.focus(); }
    });

    const show = async () => {
      const value = props.value;
      root.classList.toggle("stale", Boolean(value?.waiting)); // what is there is another model's
      if (value?.waiting) return;
      if (!value) { actions(); return; }
      image = await VS.image(value.sprite);
      if (props.value !== value && props.value.sprite !== value.sprite) return;
      picked = null;
      while (grid.children.length > value.n) grid.lastChild.remove();
      while (grid.children.length < value.n) {
        const i = grid.children.length;
        grid.append(h("button", { type: "button", class: "vs-cell", onclick: () => pick(i) }));
      }
      [...grid.children].forEach((cell, i) => {
        cell.style.backgroundImage = `url(${value.sprite})`;
        cell.setAttribute("aria-label", `Sample ${i + 1} of ${value.n}, seed ${value.seed}`);
        cell.setAttribute("aria-pressed", "false");
      });
      caption.replaceChildren(
        h("strong", {}, `${value.n} ${value.n === 1 ? "sample" : "samples"}`), ` seed ${value.seed}, temperature ${value.temperature.toFixed(2)}, ${VS.time(value.seconds)}`);
      const save = h("button", { type: "button", class: "vs-button", onclick: () => VS.download(whole(), `samples-seed-${value.seed}.png`) }, VS.icon(VS.icons.download), "Grid as PNG");
      caption.parentElement.replaceChildren(caption, save);
      actions();
      lay();
      VS.say(`${value.n} samples drawn with seed ${value.seed}.`);
    };
    watch("value", show);
    show();
  });
})();
