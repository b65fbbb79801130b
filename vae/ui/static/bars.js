// Bars on canvas, one for each latent dimension; hover or the arrow keys read them off.
(() => {
  const BOTTOM = 12, TOP = 4; // pixels: room for the marks of the active ones, and above the highest

  // bars: [{dim, value, active}], highest first; says(bar): a sentence.
  VS.bars = ({ title, term, label, bars, total, says }) => {
    const h = VS.h;
    const canvas = h("canvas", { class: "vs-bars", tabindex: 0, role: "img", "aria-label": label });
    const reading = h("p", { class: "vs-caption vs-bar-says" }, total);
    const node = h("figure", { class: "vs-bar-figure" }, h("figcaption", {}, h("strong", {}, title), h("small", {}, term)), canvas, reading);
    let at = null;

    const draw = () => {
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight, c = canvas.getContext("2d");
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      c.scale(ratio, ratio);
      const step = width / bars.length, gap = step > 4 ? 1 : 0, most = Math.max(...bars.map((bar) => bar.value), 1e-9);
      bars.forEach((bar, i) => {
        const tall = Math.max(1, ((height - BOTTOM - TOP) * bar.value) / most), x = i * step;
        c.fillStyle = VS.css(i === at ? "text" : bar.active ? "accent" : "line-strong");
        c.fillRect(x, height - BOTTOM - tall, step - gap, tall);
        if (bar.active) { c.beginPath(); c.arc(x + (step - gap) / 2, height - BOTTOM / 2, Math.min(2.2, step / 2), 0, 7); c.fill(); }
      });
    };
    const read = (i) => {
      at = i === null ? null : Math.max(0, Math.min(bars.length - 1, i));
      reading.textContent = at === null ? total : says(bars[at]);
      draw();
    };
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      read(Math.floor(((event.clientX - box.left) / box.width) * bars.length));
    });
    canvas.addEventListener("pointerleave", () => read(null));
    canvas.addEventListener("blur", () => read(null));
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      read(at === null ? 0 : at + step);
      VS.say(reading.textContent);
    });
    return { node, draw: VS.resized(canvas, draw) };
  };
})();
