// The ends of an interpolation, and the file that is made of it.
(() => {
  // One end: {kind: "seed", seed} | {kind: "file", file} | {kind: "sample" | "point", …, uri, label}.
  VS.part("end", ({ root, props, upload, watch, options }) => {
    const h = VS.h, id = `vs-end-${options.side}`;
    const input = h("input", { type: "file", accept: "image/*", id: `${id}-file`, class: "vs-file" });
    const thumb = h("img", { class: "vs-thumb crisp", alt: "" });
    const says = h("span", { class: "vs-end-says" });
    const seed = h("input", { type: "number", min: 0, step: 1, id: `${id}-seed`, class: "vs-number" });
    const error = h("p", { class: "vs-error", role: "alert", hidden: true });
    const roll = h("button", { type: "button", class: "vs-button", title: "Another random latent", "aria-label": "Another random latent" }, VS.icon(VS.icons.redo));
    root.append(h("div", { class: "vs-end" }, thumb,
      h("div", { class: "vs-end-body" },
        h("div", { class: "vs-end-title" }, h("strong", {}, options.side), says),
        h("div", { class: "vs-end-controls" }, h("label", { for: seed.id }, "Seed"), seed, roll,
          h("label", { for: input.id, class: "vs-button" }, VS.icon(VS.icons.upload), "Picture"), input))), error);

    let own = null; // the visitor's picture or sample; null where the decoded end is the thumbnail
    const show = () => {
      const value = props.value || {};
      own = value.kind === "seed" ? null : value.uri || own;
      says.textContent = { seed: "a random latent", file: value.file?.orig_name, sample: value.label, point: value.label }[value.kind] || "";
      if (value.kind === "seed") seed.value = value.seed; else seed.value = "";
      seed.placeholder = value.kind === "seed" ? "" : "–";
      if (own) thumb.src = own;
      thumb.alt = `End ${options.side}: ${says.textContent}`;
      error.hidden = true;
    };
    const set = (value) => { props.value = value; show(); };
    const seeded = (number) => set({ kind: "seed", seed: number });
    seed.addEventListener("change", () => {
      const number = Number(seed.value);
      if (seed.value !== "" && Number.isSafeInteger(number) && number >= 0) seeded(number);
      else { error.textContent = "A seed is a whole number from 0 up."; error.hidden = false; }
    });
    roll.addEventListener("click", () => seeded(Math.floor(Math.random() * 1e6)));
    const take = VS.takesFiles({
      zone: root, input, upload,
      done: (value, uri) => { own = uri; set(value); },
      failed: (sentence) => { error.textContent = sentence; error.hidden = false; },
    });
    root.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
    VS.on("ends", (uris) => { if (!own && uris[options.side]) thumb.src = uris[options.side]; });
    watch("value", () => { own = null; show(); });
    show();
  });

  // Saves a file that Python hands over as {uri, name}; through a Blob, since browsers refuse large data: downloads.
  VS.part("saver", ({ props, watch }) => watch("value", async () => {
    if (!props.value) return;
    const uri = URL.createObjectURL(await (await fetch(props.value.uri)).blob());
    VS.download(uri, props.value.name);
    setTimeout(() => URL.revokeObjectURL(uri), 60000);
  }));
})();
