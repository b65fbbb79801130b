// Small line charts on canvas. One chart holds some series of [step, value]; several charts share one cursor.
(() => {
  const PAD = { left: 46, right: 10, top: 8, bottom: 22 };

  const ticks = (low, high, log) => {
    if (log) {
      const all = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
        for (const m of high / low > 30 ? [1, 3] : high / low > 3 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]) all.push(m * 10 ** e);
      return all.filter((v) => v >= low && v <= high);
    }
    const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough)), step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    const all = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) all.push(Math.abs(v) < step * 1e-6 ? 0 : v);
    return all;
  };
  const short = (v) => (Math.abs(v) >= 1e4 ? `${VS.num(v / 1000)}k` : Math.abs(v) >= 100 || Number.isInteger(v) ? VS.num(v) : String(Number(v.toPrecision(3))));

  // The last point at or before `step`, by bisection; null if there is none.
  const before = (points, step) => {
    let low = 0, high = points.length;
    while (low < high) { const mid = (low + high) >> 1; if (points[mid][0] <= step) low = mid + 1; else high = mid; }
    return low ? points[low - 1] : null;
  };

  // share: {log, cursor, perEpoch, redraw()} is common to the charts of one view.
  VS.chart = (title, term, share) => {
    const h = VS.h;
    const canvas = h("canvas", { tabindex: 0, role: "img" }), reading = h("span", { class: "vs-reading" });
    const node = h("figure", { class: "vs-chart" }, h("figcaption", {}, h("strong", {}, title, h("small", {}, term)), reading), canvas);
    let series = [], range = [0, 1];

    const draw = () => {
      const width = canvas.clientWidth, height = canvas.clientHeight, ratio = window.devicePixelRatio || 1;
      if (!width) return;
      if (canvas.width !== Math.round(width * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); }
      const c = canvas.getContext("2d");
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.clearRect(0, 0, width, height);
      c.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      const points = series.flatMap((s) => s.points), values = points.map((p) => p[1]).filter(Number.isFinite);
      const muted = VS.css("muted"), line = VS.css("line");
      const log = share.log && values.length && values.every((v) => v > 0);
      let low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
      if (!values.length) [low, high] = [0, 1];
      if (log) { low /= 1.08; high *= 1.08; } else { const room = (high - low || Math.abs(high) || 1) * 0.06; low -= low === 0 ? 0 : room; high += room; }
      const first = 0, last = Math.max(1, ...series.map((s) => s.points.at(-1)?.[0] || 0));
      range = [first, last];
      const x = (v) => PAD.left + ((v - first) / (last - first)) * (width - PAD.left - PAD.right);
      const scaled = log ? (v) => (Math.log(v) - Math.log(low)) / (Math.log(high) - Math.log(low)) : (v) => (v - low) / (high - low);
      const y = (v) => height - PAD.bottom - scaled(v) * (height - PAD.top - PAD.bottom);

      c.textAlign = "right";
      c.textBaseline = "middle";
      const marks = ticks(low, high, log);
      for (const v of marks.length > 2 ? marks : ticks(low, high, false)) {
        c.strokeStyle = line;
        c.beginPath(); c.moveTo(PAD.left, Math.round(y(v)) + 0.5); c.lineTo(width - PAD.right, Math.round(y(v)) + 0.5); c.stroke();
        c.fillStyle = muted;
        if (values.length) c.fillText(short(v), PAD.left - 6, y(v));
      }
      c.textAlign = "center";
      c.textBaseline = "top";
      c.fillStyle = muted;
      const epochs = last / share.perEpoch;
      c.textAlign = "right";
      if (values.length) c.fillText("epoch", PAD.left - 6, height - PAD.bottom + 6);
      c.textAlign = "center";
      if (values.length) for (const v of ticks(0, epochs, false).filter((t) => t > 0)) c.fillText(short(v), x(v * share.perEpoch), height - PAD.bottom + 6);

      for (const s of series) {
        c.strokeStyle = c.fillStyle = VS.css(s.colour);
        c.lineWidth = s.dots ? 1.5 : 1.75;
        c.lineJoin = "round";
        c.beginPath();
        let pen = false;
        for (const [step, v] of s.points) {
          if (!Number.isFinite(v)) { pen = false; continue; }
          if (pen) c.lineTo(x(step), y(v)); else c.moveTo(x(step), y(v));
          pen = true;
        }
        c.stroke();
        if (s.dots && s.points.length < 80) for (const [step, v] of s.points) { c.beginPath(); c.arc(x(step), y(v), 2.5, 0, 7); c.fill(); }
      }
      if (share.cursor !== null) {
        c.strokeStyle = muted;
        c.lineWidth = 1;
        c.beginPath(); c.moveTo(x(share.cursor), PAD.top); c.lineTo(x(share.cursor), height - PAD.bottom); c.stroke();
        for (const s of series) {
          const point = before(s.points, share.cursor);
          if (point && Number.isFinite(point[1])) { c.fillStyle = VS.css(s.colour); c.beginPath(); c.arc(x(point[0]), y(point[1]), 4, 0, 7); c.fill(); }
        }
      }
      const step = share.cursor ?? Infinity;
      reading.replaceChildren(...series.map((s) => h("span", {}, h("i", { class: `swatch ${s.colour}` }), `${s.name} `, h("b", {}, VS.num(before(s.points, step)?.[1])))));
      canvas.setAttribute("aria-label", series.map((s) => {
        const [a, b] = [s.points[0], s.points.at(-1)];
        return a ? `${title}, ${s.name}: from ${VS.num(a[1])} to ${VS.num(b[1])}` : `${title}, ${s.name}: nothing yet`;
      }).join("; ") + `, over ${VS.num(epochs)} epochs. Arrow keys read values.`);
    };
    const move = (step) => { share.cursor = step === null ? null : Math.max(range[0], Math.min(range[1], step)); share.redraw(); };
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect(), t = (event.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
      move(range[0] + t * (range[1] - range[0]));
    });
    canvas.addEventListener("pointerleave", () => move(null));
    canvas.addEventListener("blur", () => move(null));
    canvas.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      move((share.cursor ?? range[1]) + (way * (range[1] - range[0])) / 40);
      VS.say(`Epoch ${VS.num(share.cursor / share.perEpoch)}: ${reading.textContent}`);
    });
    VS.resized(canvas, draw);
    return { node, draw, set: (all) => { series = all; draw(); } };
  };
})();
