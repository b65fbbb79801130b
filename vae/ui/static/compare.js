// Compare: one picture through several models, in panes that show the same region of it at the same zoom.
// A pane is {encoder, decoder, node, canvas, …}; what it shows is a result of Python's run(), found by its key.
(() => {
  const LETTERS = "ABCD", KINDS = [["image", "Reconstruction"], ["original", "Original"], ["difference", "Difference"]];
  const STOPPED = "Stopped.";
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  const pixels = (image) => {
    const canvas = VS.h("canvas", { width: image.naturalWidth, height: image.naturalHeight }), context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  };
  // |original - image| times the factor, in each colour.
  const difference = (result, gain) => {
    if (!result.lost) {
      const a = pixels(result.original).data, b = pixels(result.image).data;
      result.lost = a.map((v, i) => Math.abs(v - b[i]));
      result.canvas = VS.h("canvas", { width: result.width, height: result.height });
    }
    if (result.gain !== gain) {
      const all = new ImageData(result.width, result.height);
      for (let i = 0; i < all.data.length; i += 4) {
        for (let c = 0; c < 3; c++) all.data[i + c] = result.lost[i + c] * gain;
        all.data[i + 3] = 255;
      }
      result.canvas.getContext("2d").putImageData(all, 0, 0);
      result.gain = gain;
    }
    return result.canvas;
  };

  VS.part("compare", ({ root, props, trigger, server, watch, options }) => {
    const h = VS.h;
    let models = [], chosen = null, chooseModel = null, titleOf = (model) => model.name;
    let picture = null, turn = 0, results = new Map(), errors = new Map();
    let run = null; // {ticket, keys, at: key, what, share} while Python is at work
    let panes = [], kind = "image", gain = 5, spot = null;

    // ---- what each pane shows
    const find = (name) => models.find((m) => m.name === name);
    const stamp = (name) => `${name}@${find(name)?.epoch ?? ""}`;
    const keyOf = (pane) => (pane.encoder && picture ? [turn, stamp(pane.encoder), stamp(pane.decoder)].join("|") : null);
    const partners = (name) => models.filter((m) => m.latent_space && m.name !== name && m.latent_space === find(name)?.latent_space);
    const shown = () => panes.map((pane) => pane.result).filter(Boolean);
    const layer = (result) => (kind === "difference" ? difference(result, gain) : result[kind]);
    const label = (pane) => titleOf(find(pane.encoder) || { name: pane.encoder }) + (pane.decoder === pane.encoder ? "" : ` to ${titleOf(find(pane.decoder) || { name: pane.decoder })}`);

    // ---- the view: its centre in the picture's pixels, and how many CSS pixels one of those takes
    const view = { x: 0, y: 0, zoom: 1, fitted: true };
    const ratio = () => window.devicePixelRatio || 1;
    const pitch = (result) => (result.box[2] - result.box[0]) / result.width; // of its pixels, in the picture's
    const limits = () => {
      const boxes = shown().map((r) => r.box), side = panes[0]?.canvas.clientWidth || 1;
      if (!boxes.length) return null;
      const [l, t, r, b] = [0, 1, 2, 3].map((i) => Math[i < 2 ? "min" : "max"](...boxes.map((box) => box[i])));
      const pitches = shown().map(pitch), finest = Math.min(...pitches);
      let fit = Math.min(side / (r - l), side / (b - t));
      const whole = shown().every((x) => Math.max(x.width, x.height) <= VS.SMALL && x.width === shown()[0].width);
      if (whole) fit = (Math.floor(fit * finest * ratio()) || 1) / (finest * ratio());
      return { l, t, r, b, side, fit, most: Math.max(fit, 40 / finest), finest };
    };
    const settle = () => {
      const at = limits();
      if (!at) return;
      view.zoom = Math.max(at.fit, Math.min(at.most, view.zoom));
      if (view.fitted || view.zoom <= at.fit * 1.001) Object.assign(view, { zoom: at.fit, fitted: true });
      const clamp = (v, low, high) => {
        const half = at.side / view.zoom / 2;
        return high - low <= 2 * half ? (low + high) / 2 : Math.max(low + half, Math.min(high - half, v));
      };
      view.x = clamp(view.x, at.l, at.r);
      view.y = clamp(view.y, at.t, at.b);
      meter.textContent = `${VS.num(view.zoom * ratio(), 2)}×`;
      meter.title = `Each pixel of the picture is ${VS.num(view.zoom * ratio())} screen pixels wide`;
      out.disabled = fit.disabled = view.fitted;
      into.disabled = view.zoom >= at.most * 0.999;
      for (const pane of panes) { pane.canvas.style.touchAction = view.fitted ? "pan-y" : "none"; pane.canvas.classList.toggle("loose", !view.fitted); }
      paint();
    };
    // Zooms by `factor`; the point of the picture under (x, y), CSS pixels from the stage's middle, stays where it is.
    const zoom = (factor, x = 0, y = 0) => {
      const at = limits();
      if (!at) return;
      const next = Math.max(at.fit, Math.min(at.most, view.zoom * factor)), [px, py] = [view.x + x / view.zoom, view.y + y / view.zoom];
      Object.assign(view, { x: px - x / next, y: py - y / next, zoom: next, fitted: false });
      settle();
    };
    const move = (dx, dy) => { view.x += dx / view.zoom; view.y += dy / view.zoom; settle(); };
    const whole = () => { view.fitted = true; settle(); };

    const paintPane = (pane) => {
      const { canvas, result } = pane, side = canvas.clientWidth, dpr = ratio();
      if (!side) return;
      if (canvas.width !== Math.round(side * dpr)) canvas.width = canvas.height = Math.round(side * dpr);
      const c = canvas.getContext("2d");
      c.clearRect(0, 0, canvas.width, canvas.height);
      if (!result) return;
      let step = view.zoom * dpr * pitch(result); // device pixels for one of the result's pixels
      const crisp = Math.max(result.width, result.height) <= VS.SMALL || (step >= 3 && !view.fitted);
      if (crisp && step >= 3) step = Math.round(step);
      c.imageSmoothingEnabled = !crisp || step < 1;
      c.imageSmoothingQuality = "high";
      const left = Math.round(canvas.width / 2 + (result.box[0] - view.x) * view.zoom * dpr), top = Math.round(canvas.height / 2 + (result.box[1] - view.y) * view.zoom * dpr);
      // Only what is seen: whole pixels of the result, one more on each side.
      const first = (start) => Math.max(0, Math.floor(-start / step) - 1), last = (start, size, room) => Math.min(size, Math.ceil((room - start) / step) + 1);
      const [x, y] = [first(left), first(top)], [w, hgt] = [last(left, result.width, canvas.width) - x, last(top, result.height, canvas.height) - y];
      if (w > 0 && hgt > 0) c.drawImage(layer(result), x, y, w, hgt, left + x * step, top + y * step, w * step, hgt * step);
      if (spot && spot.pane !== pane) {
        c.beginPath();
        c.arc(canvas.width / 2 + (spot.x - view.x) * view.zoom * dpr, canvas.height / 2 + (spot.y - view.y) * view.zoom * dpr, 7 * dpr, 0, 7);
        c.lineWidth = 4 * dpr; c.strokeStyle = "rgb(0 0 0 / .6)"; c.stroke();
        c.lineWidth = 2 * dpr; c.strokeStyle = "#fff"; c.stroke();
      }
    };
    let due = 0;
    const paint = () => { due ||= requestAnimationFrame(() => { due = 0; panes.forEach(paintPane); }); };

    // ---- the tools above the panes
    const show = h("div", { class: "vs-segments", role: "radiogroup", "aria-label": "Show" }, KINDS.map(([name, title]) => {
      const input = h("input", { type: "radio", name: "vs-compare-kind", value: name, checked: name === kind, onchange: () => { kind = name; tools.classList.toggle("differing", kind === "difference"); describe(); paint(); } });
      return h("label", {}, input, h("span", {}, title));
    }));
    const factor = h("output", {}, `×${gain}`);
    const amplify = h("input", { type: "range", class: "vs-scrub", min: 1, max: 10, step: 1, value: gain, "aria-label": "Amplify the difference", oninput: () => { gain = Number(amplify.value); factor.textContent = `×${gain}`; paint(); } });
    const tool = (text, name, action) => h("button", { type: "button", class: "vs-button vs-square-button", "aria-label": name, title: name, onclick: action }, text);
    const out = tool("−", "Zoom out", () => zoom(1 / 1.5)), into = tool("+", "Zoom in", () => zoom(1.5));
    const fit = h("button", { type: "button", class: "vs-button", onclick: whole }, "Fit");
    const meter = h("output", { class: "vs-meter" }, "–");
    const tools = h("div", { class: "vs-tools" }, show, h("div", { class: "vs-gain" }, amplify, factor), h("div", { class: "vs-zoom", role: "group", "aria-label": "Zoom" }, out, meter, into, fit));
    const grid = h("div", { class: "vs-panes" });
    const add = h("button", { type: "button", class: "vs-button", onclick: () => { addPane(spare()); } }, "Add a model");
    const save = h("button", { type: "button", class: "vs-button", onclick: () => saveAll() }, VS.icon(VS.icons.download), "Side by side");
    const remark = h("p", { class: "vs-caption" });
    root.append(tools, grid, h("div", { class: "vs-actions vs-compare-actions" }, add, save, remark));

    // ---- panes
    const listeners = (pane) => {
      const { canvas } = pane, fingers = new Map();
      const middle = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2]; };
      canvas.addEventListener("wheel", (event) => {
        if (view.fitted && event.deltaY > 0) return; // the page scrolls on
        event.preventDefault();
        zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY * (event.deltaMode ? 20 : 1))) / 240), ...middle(event));
      }, { passive: false });
      canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, middle(event)); });
      const up = (event) => fingers.delete(event.pointerId);
      canvas.addEventListener("pointerup", up);
      canvas.addEventListener("pointercancel", up);
      canvas.addEventListener("pointermove", (event) => {
        const [x, y] = middle(event), before = fingers.get(event.pointerId);
        if (event.pointerType === "mouse") { spot = { pane, x: view.x + x / view.zoom, y: view.y + y / view.zoom }; paint(); }
        if (!before) return;
        fingers.set(event.pointerId, [x, y]);
        if (fingers.size === 1) { move(before[0] - x, before[1] - y); return; }
        const other = [...fingers.entries()].find(([id]) => id !== event.pointerId)[1], far = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
        zoom(far([x, y]) / far(before), (x + other[0]) / 2, (y + other[1]) / 2);
        move((before[0] - x) / 2, (before[1] - y) / 2);
      });
      canvas.addEventListener("pointerleave", () => { spot = null; paint(); });
      canvas.addEventListener("dblclick", (event) => zoom(2, ...middle(event)));
      canvas.addEventListener("keydown", (event) => {
        const way = WAYS[event.key], step = canvas.clientWidth / 8;
        if (way && view.fitted) return;
        if (way) move(way[0] * step, way[1] * step);
        else if (event.key === "+" || event.key === "=") zoom(1.5);
        else if (event.key === "-") zoom(1 / 1.5);
        else if (event.key === "0") whole();
        else return;
        event.preventDefault();
      });
    };
    const addPane = (name) => {
      if (panes.length >= options.most || !name) return;
      const letter = LETTERS[panes.length], id = `vs-pane-${Math.random().toString(36).slice(2)}`;
      const pane = { encoder: name, decoder: name, result: null };
      pane.select = h("select", { class: "vs-select", id, onchange: () => choose(pane, pane.select.value) });
      pane.letter = h("label", { class: "vs-letter", for: id }, letter);
      pane.second = h("select", { class: "vs-select", "aria-label": "Decoded by", onchange: () => { pane.decoder = pane.second.value; changed(); } });
      pane.pairing = h("div", { class: "vs-pairing" }, h("span", {}, "decoded by"), pane.second);
      pane.remove = h("button", { type: "button", class: "vs-plain", title: "Take this model away", "aria-label": "Take this model away", onclick: () => { panes.splice(panes.indexOf(pane), 1); pane.node.remove(); changed(); add.focus(); } }, "×");
      pane.save = h("button", { type: "button", class: "vs-plain", title: "Download as PNG", "aria-label": "Download as PNG", onclick: () => savePane(pane) }, VS.icon(VS.icons.download));
      pane.canvas = h("canvas", { tabindex: 0, role: "img" });
      pane.says = h("span", {});
      pane.bar = h("progress", { class: "live", max: 1 });
      pane.act = h("button", { type: "button", class: "vs-button" });
      pane.cover = h("div", { class: "vs-cover", hidden: true }, pane.says, pane.bar, pane.act);
      pane.stats = h("dl", { class: "vs-rows" });
      pane.node = h("section", { class: "vs-pane" }, h("div", { class: "vs-pane-head" }, pane.letter, pane.select, pane.save, pane.remove), pane.pairing,
        h("div", { class: "vs-stage" }, pane.canvas, pane.cover), pane.stats);
      listeners(pane);
      panes.push(pane);
      grid.append(pane.node);
      changed();
    };
    const choose = (pane, name) => {
      Object.assign(pane, { encoder: name, decoder: name });
      if (pane === panes[0] && name !== chosen) chooseModel(name);
      changed();
    };
    // A model that no pane shows yet; one like the first pane's, if there is one.
    const spare = () => {
      const free = models.filter((m) => !panes.some((pane) => pane.encoder === m.name)), first = find(panes[0]?.encoder);
      const alike = free.find((m) => first && m.family === first.family && m.trained_on === first.trained_on && m.kind === first.kind);
      return (alike || free.find((m) => m.kind === first?.kind) || free[0] || models[0])?.name;
    };

    const describe = () => {
      panes.forEach((pane, i) => {
        const { result } = pane, options = (list) => list.map((m) => h("option", { value: m.name }, titleOf(m)));
        pane.letter.textContent = LETTERS[i];
        pane.letter.setAttribute("aria-label", `Model ${LETTERS[i]}`);
        pane.select.replaceChildren(...options(models));
        pane.select.value = pane.encoder;
        const others = partners(pane.encoder);
        if (pane.decoder !== pane.encoder && !others.some((m) => m.name === pane.decoder)) pane.decoder = pane.encoder;
        const across = panes.length === 3 ? 3 : 2, row = (k) => Math.floor(k / across);
        pane.pairing.hidden = !panes.some((p, k) => row(k) === row(i) && partners(p.encoder).length);
        pane.pairing.classList.toggle("none", !others.length);
        pane.second.replaceChildren(h("option", { value: pane.encoder }, "itself"), ...options(others));
        pane.second.value = pane.decoder;
        pane.remove.hidden = panes.length <= 2 || i === 0;
        pane.save.disabled = !result;
        pane.canvas.setAttribute("aria-label", result ? `${KINDS.find(([name]) => name === kind)[1]} ${LETTERS[i]}, ${label(pane)}. Plus and minus zoom, arrow keys move, 0 shows all.` : `Pane ${LETTERS[i]}, nothing yet`);
        figures(pane);
      });
      grid.dataset.n = panes.length;
      add.hidden = panes.length >= options.most;
      save.disabled = !shown().length;
      const sights = new Set(shown().map((r) => `${r.width}×${r.height}${r.grey}${r.box}`));
      remark.textContent = sights.size > 1 ? "These models see the picture at different sizes or colours, so their figures are not of the same thing." : "";
    };
    const best = (field) => {
      const all = panes.map((pane) => pane.result?.[field]), alike = new Set(shown().map((r) => `${r.width}×${r.height}${r.grey}${r.box}`)).size === 1;
      return alike && all.length > 1 && all.every((v) => v !== undefined) && new Set(all).size > 1 ? Math.max(...all) : NaN;
    };
    const figures = (pane) => {
      const r = pane.result, row = (word, term, number, unit, title, top) => h("div", { title },
        h("dt", {}, word, term ? h("small", {}, term) : null), h("dd", { class: top ? "best" : null }, number, unit ? h("small", {}, unit) : null, top ? h("em", {}, "best") : null));
      const dash = "–";
      pane.stats.replaceChildren(
        row("Closeness", "PSNR", r ? VS.num(r.psnr) : dash, r ? "dB" : "", "Peak signal-to-noise ratio: higher is closer, each 6 dB halves the error", r?.psnr === best("psnr")),
        row("Likeness", "SSIM", r ? VS.num(r.ssim) : dash, "", "Structural similarity: 1 means the same picture", r?.ssim === best("ssim")),
        row("Latent", "", r ? r.latent_shape.join(" × ") : dash, "", "Channels × height × width of what is remembered"),
        row("Bits per pixel", "", r ? r.bits_per_pixel.toPrecision(3) : dash, "", "Of the latent, with 16 bits for each of its numbers (float16)"),
        row("Took", "", r ? VS.time(r.seconds) : dash, r?.tile ? `in tiles of ${r.tile}` : "", "Encoding and decoding, on the server, without opening the model"),
        row("Sees it as", "", r ? `${r.width} × ${r.height}` : dash, r ? (r.grey ? "grey" : "colour") : "", "The picture as this model gets it"));
    };
    // What a pane says over its picture: that it waits, how far it is, or what went wrong.
    const state = () => {
      for (const pane of panes) {
        const key = keyOf(pane), error = errors.get(key), busy = key && !error && !results.has(key), now = busy && run?.at === key;
        pane.cover.hidden = !error && !busy;
        pane.cover.classList.toggle("failed", Boolean(error) && error !== STOPPED);
        pane.says.textContent = error || (now ? run.what || "Starting" : "Waiting");
        if (error) pane.says.setAttribute("role", "alert"); else pane.says.removeAttribute("role");
        pane.bar.hidden = !now;
        if (now && run.share !== null && run.share !== undefined) pane.bar.value = run.share; else pane.bar.removeAttribute("value");
        pane.act.hidden = !error && !now;
        pane.act.textContent = error ? "Try again" : "Stop";
        pane.act.onclick = error ? () => { errors.delete(key); for (const [k, e] of errors) if (e === STOPPED) errors.delete(k); changed(); } : stop;
      }
    };

    // ---- asking Python for what is missing, one run at a time
    const changed = () => {
      for (const pane of panes) {
        const result = results.get(keyOf(pane));
        if (result) pane.result = result;
        else if (pane.known !== pane.encoder + pane.decoder) pane.result = null; // another picture's result stays until it is replaced
        if (result) pane.known = pane.encoder + pane.decoder;
        pane.node.classList.toggle("stale", Boolean(pane.result) && !result);
      }
      describe();
      settle();
      paint();
      ask();
      state();
    };
    const ask = () => {
      const wanted = panes.filter((pane) => keyOf(pane) && !results.has(keyOf(pane)) && !errors.has(keyOf(pane)));
      if (run && !wanted.some((pane) => run.keys.includes(keyOf(pane)))) server.stop(run.ticket); // nobody waits for it
      if (run || !wanted.length || !root.offsetParent) return;
      const jobs = [...new Map(wanted.map((pane) => [keyOf(pane), { key: keyOf(pane), encoder: pane.encoder, decoder: pane.decoder }])).values()];
      run = { ticket: Math.random().toString(36).slice(2), keys: jobs.map((job) => job.key), at: jobs[0].key };
      trigger("run", { ticket: run.ticket, picture: picture.value, panes: jobs });
    };
    const stop = () => {
      run.stopped = true;
      run.what = "Stopping";
      server.stop(run.ticket);
      state();
    };
    let last = Promise.resolve();
    const receive = async (news) => {
      if (!news || news.ticket !== run?.ticket) return;
      if (news.result) {
        const [original, image] = await Promise.all([VS.image(news.result.original), VS.image(news.result.image)]);
        results.set(news.key, { ...news.result, original, image, uris: news.result });
      } else if (news.error) errors.set(news.key, news.error);
      if (news.ticket !== run?.ticket) return;
      if (news.done) {
        for (const key of run.keys) if (!results.has(key) && !errors.has(key) && run.stopped) errors.set(key, STOPPED);
        run = null;
        VS.say(panes.map((pane, i) => (pane.result ? `${LETTERS[i]}, ${label(pane)}: PSNR ${VS.num(pane.result.psnr)} decibels` : `${LETTERS[i]}: no result`)).join("; "));
      } else if (!news.result && !news.error) {
        if (!run.stopped) Object.assign(run, { at: news.key, what: news.what, share: news.share });
        state();
        return;
      }
      changed();
    };
    watch("value", () => { const news = props.value; last = last.then(() => receive(news)).catch(() => {}); });

    // ---- files
    const fileName = (text) => text.replaceAll(/[^\w.-]+/g, "-");
    const savePane = (pane) => {
      const name = `${fileName(label(pane))}-${kind === "difference" ? `difference-x${gain}` : kind === "image" ? "reconstruction" : kind}.png`;
      VS.download(kind === "difference" ? layer(pane.result).toDataURL("image/png") : pane.result.uris[kind], name);
    };
    // The panes as they are seen now, with their names and figures below.
    const saveAll = () => {
      spot = null;
      panes.forEach(paintPane);
      const side = panes[0].canvas.width, gap = Math.round(12 * ratio()), line = Math.round(20 * ratio());
      const canvas = h("canvas", { width: panes.length * (side + gap) - gap, height: side + 3 * line }), c = canvas.getContext("2d");
      c.fillStyle = VS.css("card");
      c.fillRect(0, 0, canvas.width, canvas.height);
      c.textBaseline = "top";
      panes.forEach((pane, i) => {
        const left = i * (side + gap);
        c.drawImage(pane.canvas, left, 0);
        c.fillStyle = VS.css("text");
        c.font = `600 ${14 * ratio()}px system-ui, sans-serif`;
        c.fillText(label(pane), left, side + line * 0.5, side);
        c.font = `${13 * ratio()}px system-ui, sans-serif`;
        c.fillStyle = VS.css("muted");
        if (pane.result) c.fillText(`${VS.num(pane.result.psnr)} dB, SSIM ${VS.num(pane.result.ssim)}${kind === "image" ? "" : `, ${kind}${kind === "difference" ? ` ×${gain}` : ""}`}`, left, side + line * 1.6, side);
      });
      VS.download(canvas.toDataURL("image/png"), "side-by-side.png");
    };

    VS.on("compare-picture", (news) => {
      picture = news;
      turn += 1;
      results.clear();
      errors.clear();
      view.fitted = true;
      changed();
    });
    VS.on("models", (news) => {
      ({ models, choose: chooseModel, title: titleOf } = news);
      const before = chosen;
      chosen = news.chosen;
      if (!panes.length && chosen) {
        addPane(chosen);
        if (models.length > 1) addPane(spare());
      } else if (panes.length && chosen !== before && panes[0].encoder !== chosen) {
        const twin = panes.find((pane, i) => i > 0 && pane.encoder === chosen);
        if (twin) Object.assign(twin, { encoder: panes[0].encoder, decoder: panes[0].encoder });
        Object.assign(panes[0], { encoder: chosen, decoder: chosen });
      }
      changed();
    });
    VS.resized(root, () => { settle(); ask(); state(); });
    new IntersectionObserver(() => { ask(); state(); }).observe(root);
  });
})();
