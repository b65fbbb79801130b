// Line charts on canvas. One chart holds some series of [epoch, value]; several share one cursor, one zoom, one scale.
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

  // How many points are at or before `at`, by bisection.
  const upTo = (points, at) => {
    let low = 0, high = points.length;
    while (low < high) { const mid = (low + high) >> 1; if (points[mid][0] <= at) low = mid + 1; else high = mid; }
    return low;
  };
  const before = (points, at) => points[upTo(points, at) - 1];
  // The points between a and b, and one on either side, so that the line goes on beyond the edge.
  const within = (points, [a, b]) => points.slice(Math.max(0, upTo(points, a) - 1), upTo(points, b) + 1);

  // share: {log, zoom: null | [a, b], cursor: null | epoch, moved(), zoomed()} is common to the charts of one view.
  // A series: {label, colour, points, raw: points behind a smoothed line, dots, thin}.
  VS.chart = (title, term, share) => {
    const h = VS.h;
    const canvas = h("canvas", { tabindex: 0, role: "img" }), reading = h("span", { class: "vs-reading" });
    const node = h("figure", { class: "vs-chart" }, h("figcaption", {}, h("strong", {}, title, h("small", {}, term)), reading), canvas);
    let series = [], range = [0, 1], brush = null;

    // Draws into a 2D context as if it were `width` by `height` CSS pixels.
    const paint = (c, width, height) => {
      c.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      const end = Math.max(0, ...series.map((s) => s.points.at(-1)?.[0] || 0)) || 1;
      range = share.zoom || [0, end];
      const shown = series.map((s) => ({ ...s, line: within(s.points, range), behind: s.raw ? within(s.raw, range) : null }));
      const values = shown.flatMap((s) => [...s.line, ...(s.behind || [])]).map((p) => p[1]).filter(Number.isFinite);
      const muted = VS.css("muted"), grid = VS.css("line"), empty = !values.length;
      const log = share.log && !empty && values.every((v) => v > 0);
      let low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
      if (empty) [low, high] = [0, 1];
      if (log) { const room = Math.max(1.02, (high / low) ** 0.03); low /= room; high *= room; }
      else { const room = (high - low || Math.abs(high) || 1) * 0.06; low -= low === 0 ? 0 : room; high += room; }
      const x = (v) => PAD.left + ((v - range[0]) / (range[1] - range[0])) * (width - PAD.left - PAD.right);
      const scaled = log ? (v) => (Math.log(v) - Math.log(low)) / (Math.log(high) - Math.log(low)) : (v) => (v - low) / (high - low);
      const y = (v) => height - PAD.bottom - scaled(v) * (height - PAD.top - PAD.bottom);

      c.lineWidth = 1;
      c.textAlign = "right";
      c.textBaseline = "middle";
      const marks = ticks(low, high, log);
      for (const v of marks.length > 2 ? marks : ticks(low, high, false)) {
        c.strokeStyle = grid;
        c.beginPath(); c.moveTo(PAD.left, Math.round(y(v)) + 0.5); c.lineTo(width - PAD.right, Math.round(y(v)) + 0.5); c.stroke();
        c.fillStyle = muted;
        if (!empty) c.fillText(short(v), PAD.left - 6, y(v));
      }
      c.textBaseline = "top";
      c.fillStyle = muted;
      if (!empty) {
        c.fillText("epoch", PAD.left - 6, height - PAD.bottom + 6);
        c.textAlign = "center";
        for (const v of ticks(range[0], range[1], false)) if (x(v) > PAD.left + 8 && x(v) < width - PAD.right - 4) c.fillText(short(v), x(v), height - PAD.bottom + 6);
      }
      c.save();
      c.beginPath(); c.rect(PAD.left, 0, width - PAD.left - PAD.right + 3, height - PAD.bottom + 1); c.clip();
      const stroke = (points) => {
        c.beginPath();
        let pen = false;
        for (const [at, v] of points) {
          if (!Number.isFinite(v)) { pen = false; continue; }
          if (pen) c.lineTo(x(at), y(v)); else c.moveTo(x(at), y(v));
          pen = true;
        }
        c.stroke();
      };
      c.lineJoin = "round";
      for (const s of shown) {
        c.strokeStyle = c.fillStyle = VS.css(s.colour);
        c.lineWidth = 1;
        c.globalAlpha = 0.3;
        if (s.behind) stroke(s.behind);
        c.globalAlpha = s.thin ? 0.75 : 1;
        c.lineWidth = s.thin ? 1.1 : 1.8;
        c.setLineDash(s.thin ? [4, 3] : []);
        stroke(s.line);
        c.setLineDash([]);
        c.globalAlpha = 1;
        if (s.dots && s.line.length < 60) for (const [at, v] of s.line) { c.beginPath(); c.arc(x(at), y(v), 2.5, 0, 7); c.fill(); }
      }
      if (share.cursor !== null && !brush) {
        c.strokeStyle = muted;
        c.lineWidth = 1;
        c.beginPath(); c.moveTo(x(share.cursor), PAD.top); c.lineTo(x(share.cursor), height - PAD.bottom); c.stroke();
        for (const s of series) {
          const point = before(s.points, share.cursor);
          if (point && Number.isFinite(point[1])) { c.fillStyle = VS.css(s.colour); c.beginPath(); c.arc(x(point[0]), y(point[1]), 4, 0, 7); c.fill(); }
        }
      }
      if (brush) {
        c.fillStyle = VS.css("accent");
        c.globalAlpha = 0.16;
        c.fillRect(x(Math.min(...brush)), PAD.top, Math.abs(x(brush[0]) - x(brush[1])), height - PAD.top - PAD.bottom);
      }
      c.restore();
      return end;
    };

    const draw = () => {
      const width = canvas.clientWidth, height = canvas.clientHeight, ratio = window.devicePixelRatio || 1;
      if (!width) return;
      if (canvas.width !== Math.round(width * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); }
      const c = canvas.getContext("2d");
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.clearRect(0, 0, width, height);
      const end = paint(c, width, height), at = share.cursor ?? range[1];
      reading.replaceChildren(...series.map((s) => h("span", {}, h("i", { class: `swatch ${s.thin ? "thin" : ""}`, style: `--swatch: var(--vs-${s.colour})` }), `${s.label} `, h("b", {}, VS.num(before(s.points, at)?.[1])))));
      canvas.setAttribute("aria-label", (series.length ? series : [{ label: "", points: [] }]).map((s) => {
        const [a, b] = [s.points[0], s.points.at(-1)];
        return a ? `${title}, ${s.label}: from ${VS.num(a[1])} to ${VS.num(b[1])}` : `${title}: nothing yet`;
      }).join("; ") + `, over ${VS.num(end)} epochs${share.zoom ? `, zoomed to epochs ${VS.num(range[0])} to ${VS.num(range[1])}` : ""}. Arrow keys read values, plus and minus zoom, Escape shows all.`);
    };

    const bounded = (at) => Math.max(range[0], Math.min(range[1], at));
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return bounded(range[0] + ((event.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right)) * (range[1] - range[0]));
    };
    const move = (at) => { share.cursor = at === null ? null : bounded(at); share.moved(); };
    const zoom = (to) => {
      if (to && to[1] - to[0] < (range[1] - range[0]) / 500) return;
      share.zoom = to;
      share.zoomed();
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const from = place(event), start = event.clientX;
      canvas.setPointerCapture(event.pointerId);
      const drag = (e) => { if (brush || Math.abs(e.clientX - start) > 5) { brush = [from, place(e)]; draw(); } };
      const end = (e) => {
        canvas.removeEventListener("pointermove", drag);
        const found = e.type === "pointerup" && brush;
        brush = null;
        if (found) zoom([Math.min(...found), Math.max(...found)]);
        else draw();
      };
      canvas.addEventListener("pointermove", drag);
      canvas.addEventListener("pointerup", end, { once: true });
      canvas.addEventListener("pointercancel", end, { once: true });
    });
    canvas.addEventListener("dblclick", () => zoom(null));
    canvas.addEventListener("pointermove", (event) => move(place(event)));
    canvas.addEventListener("pointerleave", () => move(null));
    canvas.addEventListener("blur", () => move(null));
    canvas.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key], closer = { "+": 0.5, "=": 0.5, "-": 2 }[event.key];
      const [a, b] = range, at = share.cursor ?? b;
      if (way) {
        move(at + (way * (b - a)) / 40);
        VS.say(`Epoch ${VS.num(share.cursor)}: ${reading.textContent}`);
      } else if (closer) {
        const reach = Math.max(0, ...series.map((s) => s.points.at(-1)?.[0] || 0));
        const left = Math.max(0, at - (at - a) * closer), right = Math.min(reach, at + (b - at) * closer);
        zoom(left <= 0 && right >= reach ? null : [left, right]);
      } else if (event.key === "Escape" && share.zoom) zoom(null);
      else return;
      event.preventDefault();
    });
    VS.resized(canvas, draw);
    return { node, title, term, draw, paint, set: (all) => { series = all; draw(); }, series: () => series };
  };

  // A moving average that forgets: each value weighs `weight` times its successor, the first ones alone as they are.
  VS.smooth = (points, weight) => {
    let sum = 0, mass = 0;
    return points.map(([at, v]) => {
      if (!Number.isFinite(v)) return [at, v];
      sum = weight * sum + v;
      mass = weight * mass + 1;
      return [at, sum / mass];
    });
  };
})();
