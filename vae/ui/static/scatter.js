// A map of points on canvas: dots coloured by class, with the class written in here and there. It says where the pointer
// or the arrow keys are, which point is nearest, and what was chosen; what is decoded there is not its business.
(() => {
  const PAD = 14, NEAR = 9; // pixels: around the points, and from which on a click means a point
  const WRITTEN = 26; // points of each class that have it written in
  const STEP = 0.02; // of the map, for an arrow key

  // What is written for a class: its name if that is short, else its number.
  VS.classMark = (classes, i) => (classes.every((name) => name.length <= 2) ? classes[i] : String(i));
  VS.classColour = (i) => VS.css(`class-${i % 10}`);

  const quantile = (sorted, q) => sorted[Math.round(q * (sorted.length - 1))];
  // The square that holds nearly all of the points: {x, y: its centre, half: half its side}.
  const frame = (points, more) => {
    const [xs, ys] = [0, 1].map((k) => points.filter((_, i) => i % 2 === k).sort());
    const [left, right, low, high] = [quantile(xs, 0.003), quantile(xs, 0.997), quantile(ys, 0.003), quantile(ys, 0.997)];
    const box = more.reduce(([a, b, c, d], [x, y]) => [Math.min(a, x), Math.max(b, x), Math.min(c, y), Math.max(d, y)], [left, right, low, high]);
    return { x: (box[0] + box[1]) / 2, y: (box[2] + box[3]) / 2, half: Math.max(box[1] - box[0], box[3] - box[2], 1e-6) / 2 };
  };
  // The outline within which 95% of the draws from a Gaussian of that centre and covariance lie.
  const outline = ({ centre, spread: [[a, b], [, d]] }) => {
    const l = Math.sqrt(Math.max(a, 1e-12)), m = b / l, n = Math.sqrt(Math.max(d - m * m, 0));
    return [...Array(73).keys()].map((k) => {
      const [c, s] = [2.448 * Math.cos((k * Math.PI) / 36), 2.448 * Math.sin((k * Math.PI) / 36)];
      return [centre[0] + l * c, centre[1] + m * c + n * s];
    });
  };

  // moved(place | null, index of the nearest point, by keyboard?), chosen(place, index of the point or null).
  VS.scatter = ({ label, moved, chosen }) => {
    const h = VS.h;
    const canvas = h("canvas", { class: "vs-scatter", tabindex: 0, role: "application", "aria-label": label });
    const ground = h("canvas", {}); // the points, drawn once; what moves is drawn over them
    let points = new Float32Array(), labels = null, classes = null, prior = null, view = null, size = 0;
    let base = null, at = null, ring = null, keyed = false;

    const scale = () => (size - 2 * PAD) / (2 * view.half);
    const toPixel = ([x, y]) => [size / 2 + (x - view.x) * scale(), size / 2 - (y - view.y) * scale()];
    const toPlace = (x, y) => [view.x + (x - size / 2) / scale(), view.y - (y - size / 2) / scale()];
    const point = (i) => [points[2 * i], points[2 * i + 1]];
    const nearest = ([x, y]) => {
      let found = null, least = Infinity;
      for (let i = 0; 2 * i < points.length; i++) {
        const distance = (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
        if (distance < least) [found, least] = [i, distance];
      }
      return found;
    };

    const paintGround = () => {
      const ratio = window.devicePixelRatio || 1, c = ground.getContext("2d");
      ground.width = ground.height = Math.round(size * ratio);
      c.scale(ratio, ratio);
      c.fillStyle = VS.css("sunken");
      c.fillRect(0, 0, size, size);
      if (!view) return;
      if (prior) {
        c.beginPath();
        prior.forEach((place, i) => (i ? c.lineTo(...toPixel(place)) : c.moveTo(...toPixel(place))));
        c.fillStyle = VS.css("card");
        c.fill();
        c.setLineDash([5, 4]);
        c.strokeStyle = VS.css("muted");
        c.stroke();
        c.setLineDash([]);
      }
      const n = points.length / 2, colours = classes ? classes.map((_, i) => VS.classColour(i)) : [];
      c.globalAlpha = n > 1000 ? 0.55 : 0.8;
      for (let i = 0; i < n; i++) {
        const [x, y] = toPixel(point(i));
        c.fillStyle = labels ? colours[labels[i]] : VS.css("second");
        c.beginPath(); c.arc(x, y, 1.9, 0, 7); c.fill();
      }
      c.globalAlpha = 1;
      if (!labels || classes.length > 40) return;
      c.font = `700 12px ${getComputedStyle(document.body).fontFamily}`;
      c.textAlign = "center";
      c.textBaseline = "middle";
      c.lineWidth = 3;
      c.lineJoin = "round";
      c.strokeStyle = VS.css("card");
      const written = classes.map(() => 0);
      for (let i = 0; i < n; i++) {
        if (written[labels[i]]++ >= WRITTEN) continue;
        const [x, y] = toPixel(point(i)), mark = VS.classMark(classes, labels[i]);
        c.strokeText(mark, x, y);
        c.fillStyle = colours[labels[i]];
        c.fillText(mark, x, y);
      }
    };
    const paint = () => {
      if (!size) return;
      const ratio = window.devicePixelRatio || 1, c = canvas.getContext("2d");
      c.setTransform(1, 0, 0, 1, 0, 0);
      c.drawImage(ground, 0, 0);
      c.scale(ratio, ratio);
      const circle = (place, radius, inside) => {
        const [x, y] = toPixel(place);
        c.beginPath(); c.arc(x, y, radius, 0, 7);
        c.lineWidth = 4; c.strokeStyle = VS.css("card"); c.stroke();
        c.lineWidth = 2; c.strokeStyle = VS.css("text"); c.stroke();
        if (inside) { c.fillStyle = inside; c.fill(); }
      };
      if (at) {
        const [x, y] = toPixel(at);
        c.globalAlpha = 0.4;
        c.fillStyle = VS.css("text");
        c.fillRect(x - 0.5, 0, 1, size);
        c.fillRect(0, y - 0.5, size, 1);
        c.globalAlpha = 1;
      }
      if (ring !== null) circle(point(ring), 7);
      if (base) circle(base, 6, VS.css("accent"));
    };
    const lay = () => {
      const ratio = window.devicePixelRatio || 1;
      size = canvas.clientWidth;
      canvas.width = canvas.height = Math.round(size * ratio);
      paintGround();
      paint();
    };

    const move = (place, keyboard = false) => {
      at = place;
      keyed = keyboard && place !== null;
      ring = place && points.length ? nearest(place) : null;
      paint();
      moved(place, ring, keyboard);
    };
    const here = (event) => {
      const box = canvas.getBoundingClientRect();
      return toPlace(event.clientX - box.left, event.clientY - box.top);
    };
    const choose = (place) => {
      const i = nearest(place), [x, y] = toPixel(place), [px, py] = toPixel(point(i));
      chosen(place, Math.hypot(x - px, y - py) <= NEAR ? i : null);
    };
    canvas.addEventListener("pointermove", (event) => { if (view) move(here(event)); });
    canvas.addEventListener("pointerleave", () => { if (view && !keyed) move(null); });
    canvas.addEventListener("pointercancel", () => { if (view) move(null); });
    canvas.addEventListener("click", (event) => { if (view) choose(here(event)); });
    canvas.addEventListener("blur", () => { if (keyed) move(null); });
    canvas.addEventListener("keydown", (event) => {
      if (!view) return;
      const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (direction) {
        const step = 2 * view.half * STEP * (event.shiftKey ? 5 : 1), from = at || base || [view.x, view.y];
        const inside = (v, k) => Math.max([view.x, view.y][k] - view.half, Math.min([view.x, view.y][k] + view.half, v));
        move(from.map((v, k) => inside(v + direction[k] * step, k)), true);
      } else if ((event.key === "Enter" || event.key === " ") && (at || base)) choose(at || base);
      else if (event.key === "Escape" && at) move(null, true);
      else return;
      event.preventDefault();
    });
    VS.resized(canvas, lay);

    return {
      node: canvas,
      // found: {points: Float32Array, two a point; labels, classes or null; prior: {centre, spread}}.
      set: (found) => {
        ({ points, labels, classes } = found);
        const bare = frame(points, []), line = outline(found.prior), fits = line.every(([x, y]) => Math.hypot(x - bare.x, y - bare.y) < 2 * bare.half);
        prior = fits ? line : null;
        view = frame(points, prior || []);
        [at, ring, keyed] = [null, null, false];
        if (size) { paintGround(); paint(); }
        return fits;
      },
      place: (place) => { base = place; paint(); },
      ring: (i) => { ring = i; paint(); },
      draw: () => { if (size) lay(); },
      nearest,
    };
  };
})();
