// The grids of samples: the chosen model's, and beside it those of its counterpart. Each comes in one sprite (PNG, cells
// side by side without gaps); every cell is a button.
(() => {
  const h = VS.h;

  // One model's grid. picked(half, i) is called when a cell is chosen, with null when none is any more.
  const makeHalf = (number, picked) => {
    const title = h("h3"), says = h("p", { class: "vs-half-says" });
    const grid = h("div", { class: "vs-grid", role: "group" });
    const stage = h("div", { class: "vs-square" }, grid), missing = h("p", { class: "vs-missing", hidden: true });
    const save = h("button", { type: "button", class: "vs-button", disabled: true, onclick: () => VS.download(whole(), `${half.value.model.replaceAll(/\W+/g, "-")}-${half.value.prior}-seed-${half.seed}.png`) }, VS.icon(VS.icons.download), "All as PNG");
    const node = h("section", { class: "vs-half" }, h("div", { class: "vs-head" }, title, save), says, stage);
    stage.append(missing);
    const half = { node, value: null, seed: null, chosen: null };
    let image = null;

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
      const value = half.value;
      if (!value?.sprite || !image) return;
      const gap = value.n > 144 ? 2 : 4, { scale, columns } = best(value, stage.clientWidth, gap);
      const [w, hgt] = [value.width * scale, value.height * scale];
      stage.style.aspectRatio = "auto"; // the square was room kept for what comes
      grid.style.cssText = `grid-template-columns: repeat(${columns}, ${w}px); gap: ${gap}px; --cell-w: ${w}px; --cell-h: ${hgt}px`;
      grid.classList.toggle("crisp", value.width <= VS.SMALL);
      [...grid.children].forEach((cell, i) => {
        cell.style.backgroundSize = `${value.columns * w}px auto`;
        cell.style.backgroundPosition = `${-(i % value.columns) * w}px ${-Math.floor(i / value.columns) * hgt}px`;
      });
    });

    // One cell as a PNG at its true size.
    half.cut = (i) => {
      const { width, height, columns } = half.value, canvas = h("canvas", { width, height });
      canvas.getContext("2d").drawImage(image, (i % columns) * width, Math.floor(i / columns) * height, width, height, 0, 0, width, height);
      return canvas.toDataURL("image/png");
    };
    // The whole grid as a PNG at its true size, with the thin gaps that tell the samples apart.
    const whole = () => {
      const { width, height, n } = half.value, columns = Math.ceil(Math.sqrt(n)), rows = Math.ceil(n / columns), gap = 2;
      const canvas = h("canvas", { width: columns * (width + gap) - gap, height: rows * (height + gap) - gap }), context = canvas.getContext("2d");
      context.fillStyle = "#808080";
      context.fillRect(0, 0, canvas.width, canvas.height);
      for (let i = 0; i < n; i++)
        context.drawImage(image, (i % half.value.columns) * width, Math.floor(i / half.value.columns) * height, width, height,
          (i % columns) * (width + gap), Math.floor(i / columns) * (height + gap), width, height);
      return canvas.toDataURL("image/png");
    };

    half.pick = (i) => {
      half.chosen = half.chosen === i ? null : i;
      [...grid.children].forEach((cell, k) => cell.setAttribute("aria-pressed", String(k === half.chosen)));
    };
    grid.addEventListener("keydown", (event) => {
      const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      const next = step && grid.children[[...grid.children].indexOf(document.activeElement) + step];
      if (next) { event.preventDefault(); next.focus(); }
    });

    half.show = async (value, seed, due) => {
      node.classList.toggle("stale", Boolean(value.waiting)); // what is there is of another choice
      if (value.waiting) return;
      if (value.sprite) {
        if (value.sprite === half.value?.sprite && value.model === half.value.model && seed === half.seed) return; // it is there
        const loaded = await VS.image(value.sprite);
        if (!due()) return;
        image = loaded;
      }
      Object.assign(half, { value, seed, chosen: null });
      title.replaceChildren(value.variational ? "Variational auto-encoder" : "Plain auto-encoder", h("small", {}, value.model));
      says.textContent = value.missing ? "It has no prior of this kind." : value.says;
      missing.replaceChildren(...(value.missing || "").split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part)));
      missing.hidden = !value.missing;
      if (value.missing) stage.style.aspectRatio = "";
      grid.hidden = save.disabled = !value.sprite;
      grid.setAttribute("aria-label", `Samples of ${value.model}`);
      const n = value.sprite ? value.n : 0;
      while (grid.children.length > n) grid.lastChild.remove();
      while (grid.children.length < n) {
        const i = grid.children.length;
        grid.append(h("button", { type: "button", class: "vs-cell", onclick: () => picked(number, i) }));
      }
      [...grid.children].forEach((cell, i) => {
        cell.style.backgroundImage = `url(${value.sprite})`;
        cell.setAttribute("aria-label", `Sample ${i + 1} of ${value.n} of ${value.model}, seed ${seed}`);
        cell.setAttribute("aria-pressed", "false");
      });
      lay();
    };
    return half;
  };

  VS.part("samples", ({ root, props, trigger, watch, options }) => {
    const caption = h("p", { class: "vs-caption" });
    const bar = h("div", { class: "vs-actions vs-picked", "aria-label": "What to do with the chosen sample" });
    const halves = [0, 1].map((i) => makeHalf(i, (number, k) => pick(number, k)));
    const row = h("div", { class: "vs-halves" }, halves.map((half) => half.node));
    root.append(h("div", { class: "vs-head" }, caption), row, bar);
    let turn = 0; // what was asked to be shown last; pictures that load late are not shown over it

    const actions = () => {
      const half = halves.find((half) => half.chosen !== null), i = half?.chosen;
      const button = (label, action, icon) => h("button", { type: "button", class: "vs-button", disabled: !half, onclick: action }, icon ? VS.icon(icon) : null, label);
      const send = (to) => () => trigger("send", { to, index: i, uri: half.cut(i), model: half.value.model });
      bar.replaceChildren(
        h("span", { class: "vs-picked-name" }, half ? `Sample ${i + 1}${row.classList.contains("pair") ? ` of ${half.value.model}` : ""}` : "Choose a sample to send it on"),
        button("Reconstruct", send("reconstruct")), button("Interpolate: A", send("a")), button("Interpolate: B", send("b")),
        button("PNG", () => VS.download(half.cut(i), `sample-${i + 1}-seed-${half.seed}.png`), VS.icons.download));
    };
    const pick = (number, i) => {
      halves.forEach((half, k) => half.pick(k === number ? i : half.chosen));
      actions();
    };
    const arrange = (count) => {
      row.classList.toggle("pair", count > 1);
      halves[1].node.hidden = count < 2;
    };

    const show = async () => {
      const value = props.value, mine = ++turn;
      root.classList.toggle("stale", Boolean(value?.waiting)); // what is there is another model's
      if (value?.waiting) return;
      if (!value) { arrange(options.halves); actions(); return; }
      arrange(value.halves.length);
      await Promise.all(value.halves.map((half, i) => halves[i].show(half, value.seed, () => mine === turn)));
      if (mine !== turn) return;
      if (value.halves.length < 2) halves[1].chosen = null;
      const { n, prior } = value.halves.find((half) => half.sprite) || {}, seconds = value.halves.reduce((sum, half) => sum + (half.seconds || 0), 0);
      caption.replaceChildren(...(n ? [h("strong", {}, `${n} ${n === 1 ? "sample" : "samples"}`), ` from ${VS.priorName(prior)}, seed ${value.seed}, temperature ${value.temperature.toFixed(2)}, ${VS.time(seconds)}`] : ["No samples"]));
      actions();
      if (value.halves.some((half) => half.waiting)) return;
      VS.say(n ? `${n} samples drawn with seed ${value.seed}.` : value.halves[0].missing);
    };
    watch("value", show);
    show();
  });

  // The choice of prior: {chosen, wanted, has, refused}; chosen is the one drawn from, wanted the one that the visitor asked
  // for, if any. Elsewhere buttons with data-prior choose, too. The options have `priors`, [{prior, name, term, says}].
  VS.part("priors", ({ root, props, trigger, watch, options }) => {
    let mine = null; // the visitor's own choice
    const says = h("p", { class: "vs-prior-says" }), refused = h("p", { class: "vs-prior-refused" });
    const rows = options.priors.map(({ prior, name, term }) => {
      const input = h("input", { type: "radio", name: "vs-prior", value: prior, onchange: () => {
        mine = prior;
        want();
      } });
      const lacking = h("em", { hidden: true }, "not fitted to this model");
      return { prior, input, lacking, node: h("label", {}, input, h("span", {}, h("strong", {}, name), h("small", {}, term), lacking)) };
    });
    root.append(h("fieldset", { class: "vs-priors" }, h("legend", {}, "Where to draw from", h("small", {}, "the prior")), rows.map((row) => row.node)), says, refused);
    document.addEventListener("click", (event) => {
      const prior = event.target.closest("[data-prior]")?.dataset.prior;
      rows.find((row) => row.prior === prior)?.input.click();
    });
    VS.priorName = (prior) => options.priors.find((p) => p.prior === prior)?.name.toLowerCase() ?? prior;
    const show = () => {
      const { chosen, has, refused: why } = props.value || {};
      for (const row of rows) {
        row.input.checked = row.prior === chosen;
        row.lacking.hidden = !has || has.includes(row.prior);
      }
      says.textContent = options.priors.find((p) => p.prior === chosen)?.says || "";
      refused.textContent = why?.replaceAll("`", "") || "";
      refused.hidden = !why;
    };
    const want = () => {
      props.value = { ...props.value, chosen: mine, wanted: mine };
      show();
      trigger("choose");
    };
    watch("value", () => {
      if (mine && props.value?.wanted !== mine) want(); // this answers an earlier choice
      else show();
    });
    show();
  });
})();
