// The three curves of one or several runs, and what can be done with them: scale, smoothing, zoom, download.
(() => {
  const TERMS = [["loss", "Total loss", "reconstruction + β · KL"], ["reconstruction", "Reconstruction", "how far from the original"], ["kl", "KL divergence", "how far from N(0, I), in nats"]];
  VS.RUN_COLOURS = ["accent", "second", "run-3", "run-4", "run-5", "run-6"];

  // `curves()` gives [{name, colour, perEpoch, steps, epochs}] in the order of drawing; a row is {step, loss, reconstruction, kl}, and of an epoch {…, val_loss, …}, too.
  VS.curves = ({ csv }) => {
    const h = VS.h;
    const draw = () => charts.forEach((chart) => chart.draw());
    const share = { log: true, zoom: null, cursor: null, moved: () => { draw(); place(); }, zoomed: () => { reset.hidden = !share.zoom; draw(); place(); } };
    const charts = TERMS.map(([, title, term]) => VS.chart(title, term, share));
    let curves = [], smoothing = 0, parts = { train: true, validation: true };

    const set = () => {
      const several = curves.length > 1;
      charts.forEach((chart, i) => chart.set(curves.flatMap((run) => {
        const [term] = TERMS[i];
        const points = (rows, field) => rows.filter((row) => row[field] !== null && row[field] !== undefined).map((row) => [row.step / run.perEpoch, row[field]]);
        const series = (label, rows, field, look) => {
          const all = points(rows, field);
          return smoothing && all.length > 2 ? { label, points: VS.smooth(all, smoothing), raw: all, ...look } : { label, points: all, ...look };
        };
        const name = several ? `${run.name} ` : "";
        return [
          parts.train ? series(`${name}train`, run.steps.length > 1 ? run.steps : run.epochs, term, { colour: run.colour, thin: several }) : null,
          parts.validation ? series(several ? (parts.train ? "validation" : run.name) : "validation", run.epochs, `val_${term}`, { colour: several ? run.colour : "second", dots: true }) : null,
        ].filter(Boolean);
      })));
      node.classList.toggle("several", several);
    };
    const place = () => { where.textContent = share.cursor !== null ? `at epoch ${VS.num(share.cursor)}` : share.zoom ? `epochs ${VS.num(share.zoom[0])} to ${VS.num(share.zoom[1])}` : ""; };

    const toggle = (text, pressed, change) => {
      const button = h("button", { type: "button", "aria-pressed": String(pressed) }, text);
      button.addEventListener("click", () => { const on = button.getAttribute("aria-pressed") !== "true"; button.setAttribute("aria-pressed", String(on)); change(on); });
      return button;
    };
    const scale = h("div", { class: "vs-segment", role: "group", "aria-label": "Scale" });
    const scales = [["Log", true], ["Linear", false]].map(([text, log]) => h("button", { type: "button", "aria-pressed": String(log), onclick: () => {
      share.log = log;
      scales.forEach((other, i) => other.setAttribute("aria-pressed", String((i === 0) === log)));
      draw();
    } }, text));
    scale.append(...scales);
    const both = h("div", { class: "vs-segment", role: "group", "aria-label": "Curves" },
      ["Train", "Validation"].map((text) => toggle(text, true, (on) => { parts = { ...parts, [text.toLowerCase()]: on }; set(); })));
    const amount = h("input", { type: "range", class: "vs-scrub", min: 0, max: 0.98, step: 0.02, value: 0, id: "vs-smoothing" });
    amount.addEventListener("input", () => { smoothing = Number(amount.value); set(); });
    const reset = h("button", { type: "button", class: "vs-button small", hidden: true, onclick: () => { share.zoom = null; share.zoomed(); } }, "Whole run");
    const where = h("span", { class: "vs-caption vs-at" }, "");

    const names = () => curves.map((run) => run.name);
    const save = (data, type, name) => {
      const uri = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
      VS.download(uri, name);
      setTimeout(() => URL.revokeObjectURL(uri), 10_000);
    };
    const asCsv = h("button", { type: "button", class: "vs-button small", onclick: async () => save(await csv(names()), "text/csv", `${names().join("-and-")}.csv`) }, "CSV");
    const asPng = h("button", { type: "button", class: "vs-button small", onclick: () => {
      const canvas = h("canvas", {}), width = 960, ratio = 2, heights = [300, 220, 220], head = 34;
      canvas.width = width * ratio;
      canvas.height = (heights.reduce((a, b) => a + b + head, 0) + 16) * ratio;
      const c = canvas.getContext("2d"), family = getComputedStyle(document.body).fontFamily;
      c.scale(ratio, ratio);
      c.fillStyle = VS.css("card");
      c.fillRect(0, 0, canvas.width, canvas.height);
      let top = 8;
      charts.forEach((chart, i) => {
        c.textAlign = "left"; c.textBaseline = "alphabetic"; c.font = `600 14px ${family}`; c.fillStyle = VS.css("text");
        c.fillText(chart.title, 16, top + 20);
        let left = 28 + c.measureText(chart.title).width;
        c.font = `12px ${family}`;
        for (const s of chart.series()) {
          c.fillStyle = VS.css(s.colour); c.fillRect(left, top + 14, 14, s.thin ? 1.5 : 3);
          c.fillStyle = VS.css("muted");
          const says = curves.length > 1 || i ? s.label : `${names()[0]} ${s.label}`;
          c.fillText(says, left + 19, top + 20);
          left += 35 + c.measureText(says).width;
        }
        c.save(); c.translate(0, top + head); chart.paint(c, width, heights[i]); c.restore();
        top += heights[i] + head;
      });
      canvas.toBlob((blob) => save(blob, "image/png", `${names().join("-and-")}.png`));
    } }, "PNG");

    const bar = h("div", { class: "vs-toolbar" }, scale, both,
      h("div", { class: "vs-smoothing" }, h("label", { for: amount.id }, "Smoothing"), amount),
      h("div", { class: "vs-actions" }, reset, h("span", { class: "vs-caption" }, "Curves as"), asCsv, asPng));
    const hint = h("p", { class: "vs-caption vs-hint" }, h("span", {}, "Drag across a curve to zoom in; double-click shows all."), where);
    const node = h("div", {}, bar, h("div", { class: "vs-charts" }, charts.map((chart) => chart.node)), hint);
    VS.onTheme(draw);
    return {
      node,
      set: (all) => {
        asCsv.disabled = asPng.disabled = !all.length;
        curves = all;
        set();
      },
      whole: () => { share.zoom = null; share.zoomed(); },
    };
  };
})();
