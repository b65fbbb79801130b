// What all components share. Each component is VS.part(name, make), and Python's `widget(name)` mounts it with Gradio's
// {element, props, trigger, server, upload, watch}, and with its own options.
(() => {
  const VS = (window.VS = { parts: {} });
  VS.part = (name, make) => { VS.parts[name] = make; };
  VS.mount = (name, context) => {
    const root = context.element.querySelector("[data-vs]") || context.element;
    VS.parts[name]({ ...context, root });
  };

  // An element with attributes (on… are listeners, null ones are left out) and children.
  VS.h = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  };

  // Three significant digits, thousands apart; whole numbers whole.
  VS.num = (x, digits = 3) => {
    if (x === null || x === undefined || Number.isNaN(x)) return "–";
    if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
    if (Number.isInteger(x) || Math.abs(x) >= 10 ** digits) return Math.round(x).toLocaleString("en").replaceAll("-", "−");
    if (x !== 0 && Math.abs(x) < 1e-3) return x.toExponential(digits - 1).replaceAll("-", "−");
    return x.toPrecision(digits).replaceAll("-", "−");
  };
  VS.time = (s) => {
    if (s === null || s === undefined) return "–";
    if (s < 1) return `${VS.num(s * 1000)} ms`;
    if (s < 60) return `${VS.num(s)} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
    return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  };

  // How much to enlarge a picture of `size` pixels in `room` CSS pixels: small ones by whole device pixels, crisp;
  // photographs to fit.
  VS.SMALL = 128;
  VS.factor = (size, room) => {
    if (size > VS.SMALL) return room / size;
    const ratio = window.devicePixelRatio || 1;
    return Math.floor((room * ratio) / size) / ratio || room / size;
  };

  // Polite announcements for screen readers, for the whole page.
  const voice = VS.h("div", { class: "vs-voice", "aria-live": "polite", role: "status" });
  VS.say = (text) => {
    if (!voice.isConnected) document.body.append(voice);
    voice.textContent = "";
    setTimeout(() => { voice.textContent = text; }, 60);
  };

  VS.download = (uri, name) => {
    const link = VS.h("a", { href: uri, download: name });
    document.body.append(link);
    link.click();
    link.remove();
  };
  VS.image = (uri) => new Promise((done, fail) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = fail;
    image.src = uri;
  });

  // Calls `tick` every `ms` while the element is on the screen and the page is looked at, and at once when it comes
  // back; a tick that takes long is not doubled. Returns a function that asks for a tick now.
  VS.poll = (element, ms, tick) => {
    let busy = false, seen = false;
    const run = async () => {
      if (busy || !element.isConnected || document.hidden || !seen) return;
      busy = true;
      try { await tick(); } catch { /* the server is away: the next tick tries again */ } finally { busy = false; }
    };
    const timer = setInterval(() => (element.isConnected ? run() : clearInterval(timer)), ms);
    document.addEventListener("visibilitychange", run);
    new IntersectionObserver((entries) => { seen = entries.at(-1).isIntersecting; run(); }).observe(element);
    return run;
  };

  // Calls `draw` when the element gets a size or another one. Returns a function that draws now.
  VS.resized = (element, draw) => {
    let width = -1;
    new ResizeObserver(() => {
      if (element.clientWidth && element.clientWidth !== width) { width = element.clientWidth; draw(); }
    }).observe(element);
    return () => { if (element.clientWidth) draw(); };
  };

  // Another component's news: VS.on("seed", f), VS.tell("seed", 3). The last word is kept for those who come later.
  const topics = {};
  VS.on = (topic, listener) => {
    const entry = (topics[topic] ||= { listeners: [] });
    entry.listeners.push(listener);
    if ("last" in entry) listener(entry.last);
  };
  VS.tell = (topic, news) => {
    const entry = (topics[topic] ||= { listeners: [] });
    entry.last = news;
    entry.listeners.forEach((listener) => listener(news));
  };

  VS.css = (name) => getComputedStyle(document.body).getPropertyValue(`--vs-${name}`).trim();
  VS.dark = () => document.body.classList.contains("dark");
  VS.onTheme = (draw) => new MutationObserver(draw).observe(document.body, { attributeFilter: ["class"] });

  // Opens a tab; where there is no room for all, some are in a menu.
  VS.goTo = (label) => {
    const buttons = [...document.querySelectorAll('[role="tab"], .overflow-dropdown button')];
    buttons.find((button) => button.textContent.trim() === label)?.click();
  };
  VS.icon = (path) => {
    const span = VS.h("span", { class: "vs-icon", "aria-hidden": "true" });
    span.innerHTML = `<svg viewBox="0 0 20 20" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">${path}</svg>`;
    return span;
  };
  VS.icons = {
    download: '<path d="M10 3v9m0 0 3.5-3.5M10 12 6.5 8.5M4 16h12"/>',
    play: '<path d="M6 4.5v11l9-5.5z"/>',
    pause: '<path d="M7 4.5v11M13 4.5v11"/>',
    redo: '<path d="M16 10a6 6 0 1 1-1.8-4.3M16 3v3.5h-3.5"/>',
    upload: '<path d="M10 13V4m0 0L6.5 7.5M10 4l3.5 3.5M4 16h12"/>',
  };
})();
