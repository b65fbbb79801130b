// The data of a training: an archive dropped here, and sixteen of the pictures as the model will see them.
(() => {
  const ENDINGS = [".zip", ".tar", ".tar.gz", ".tgz"];

  VS.part("data", ({ root, props, server, upload, options }) => {
    const h = VS.h;
    const input = h("input", { type: "file", accept: ".zip,.tar,.tgz,.gz", id: "vs-archive", class: "vs-file" });
    const name = h("span", { class: "vs-drop-name" }), invitation = h("span", {}, "Or drop a ", h("b", {}, ".zip"), " or ", h("b", {}, ".tar"), " of pictures here, or ", h("span", { class: "vs-link" }, "choose one"));
    const zone = h("label", { class: "vs-drop slim", for: input.id }, h("span", { class: "vs-drop-text" }, name, invitation));
    const remove = h("button", { type: "button", class: "vs-link vs-remove", hidden: true, onclick: () => { clear(); look(); } }, "Use the list instead");
    const error = h("p", { class: "vs-error", role: "alert", hidden: true });
    const canvas = h("canvas", { class: "vs-look", role: "img" }), box = h("div", { class: "vs-look-box" }, canvas);
    const says = h("p", { class: "vs-caption" }), classes = h("ul", { class: "vs-classes", "aria-label": "Classes" });
    root.append(input, zone, remove, error, h("div", { class: "vs-look-part" }, h("p", { class: "vs-look-title" }, "As the model will see them"), box, says, classes));

    let data = options.data, preset = options.preset, archive = null, asked = "", turn = 0, shown = null;
    const complain = (sentence) => { error.textContent = sentence; error.hidden = !sentence; };
    const clear = () => {
      archive = null;
      props.value = null;
      name.textContent = "";
      remove.hidden = true;
      invitation.hidden = false;
    };
    const draw = () => {
      if (!shown) return;
      const { image, found } = shown, columns = Math.min(8, found.n), rows = Math.ceil(found.n / columns), gap = 2, ratio = window.devicePixelRatio || 1;
      const room = Math.floor((box.clientWidth - gap * (columns - 1)) / columns), factor = VS.factor(found.width, room);
      const [width, height] = [Math.round(found.width * factor * ratio), Math.round(found.height * factor * ratio)], space = Math.round(gap * ratio);
      [canvas.width, canvas.height] = [columns * (width + space) - space, rows * (height + space) - space];
      canvas.style.width = `${canvas.width / ratio}px`;
      const c = canvas.getContext("2d");
      c.imageSmoothingEnabled = factor * ratio < 1;
      for (let i = 0; i < found.n; i++)
        c.drawImage(image, (i % found.columns) * found.width, Math.floor(i / found.columns) * found.height, found.width, found.height, (i % columns) * (width + space), Math.floor(i / columns) * (height + space), width, height);
    };
    const look = async () => {
      const source = archive ? archive.path : data, wanted = `${preset}|${source}`;
      if (wanted === asked || !source || !box.clientWidth) return;
      asked = wanted;
      const mine = ++turn, late = setTimeout(() => { if (mine === turn) { says.textContent = "Reading the pictures"; box.classList.add("busy"); } }, 300);
      const found = await server.look_at_data({ preset, data: source }).catch(() => ({ error: "The server does not answer; try again in a moment." }));
      const image = found.sprite ? await VS.image(found.sprite).catch(() => null) : null;
      clearTimeout(late);
      if (mine !== turn) return;
      box.classList.remove("busy");
      complain(found.error || "");
      box.classList.toggle("empty", !image);
      classes.replaceChildren();
      says.textContent = found.error ? "" : found.says + (found.skipped ? `; ${VS.num(found.skipped)} could not be read and ${found.skipped === 1 ? "is" : "are"} left out` : found.skipped === 0 ? "; all could be read" : "");
      if (!image) { if (archive) { clear(); asked = ""; } return; }
      shown = { image, found };
      draw();
      canvas.setAttribute("aria-label", `${found.n} of the pictures, as the model will see them`);
      if (found.classes.length) classes.append(h("li", { class: "head" }, `${VS.num(found.classes.length + found.more)} classes`), ...found.classes.map((c) => h("li", {}, c)), found.more ? h("li", {}, `and ${VS.num(found.more)} more`) : "");
      if (archive) VS.say(says.textContent);
    };
    const take = VS.takesFiles({ zone, input, upload, done: ({ file }) => {
      if (!ENDINGS.some((ending) => file.orig_name.toLowerCase().endsWith(ending))) { complain(`${file.orig_name} is no archive; .zip, .tar and .tar.gz are accepted.`); return; }
      archive = file;
      props.value = { file };
      name.textContent = file.orig_name;
      invitation.hidden = true;
      remove.hidden = false;
      look();
    }, failed: complain });
    VS.on("data", (news) => {
      if (news.data !== data && archive) clear(); // what was chosen last counts
      ({ data, preset } = news);
      look();
    });
    VS.resized(box, () => { draw(); look(); });
  });
})();
