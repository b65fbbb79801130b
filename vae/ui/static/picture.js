// A picture from the visitor: dropped, pasted, chosen, or one of the examples. The value says which:
// {kind: "file", file} | {kind: "example", name} | {kind: "inline", uri} — Python reads it with vae.ui.pictures. With the
// option `topic` each choice is told to other scripts too; with `photographs`, families of models, the example is a
// photograph with a model of those and a digit with others, until the visitor chooses.
(() => {
  const LIMIT = 64 * 2 ** 20;

  // Wires a file input, dropping and pasting on `zone`; calls done({kind: "file", file}, thumbnail) or failed(sentence).
  VS.takesFiles = ({ zone, input, upload, done, failed }) => {
    const take = async (file) => {
      if (!file) return;
      if (file.size > LIMIT) { failed(`${file.name} is over 64 MB; a smaller file is accepted.`); return; }
      zone.classList.add("busy");
      try {
        const { path, url } = await upload(file);
        const value = { path, url, orig_name: file.name, size: file.size, meta: { _type: "gradio.FileData" } };
        done({ kind: "file", file: value }, URL.createObjectURL(file));
      } catch {
        failed("The upload did not go through; please try again.");
      } finally {
        zone.classList.remove("busy");
        input.value = "";
      }
    };
    const over = (on) => (event) => { event.preventDefault(); zone.classList.toggle("over", on); };
    input.addEventListener("change", () => take(input.files[0]));
    zone.addEventListener("dragover", over(true));
    zone.addEventListener("dragleave", over(false));
    zone.addEventListener("drop", (event) => { over(false)(event); take(event.dataTransfer.files[0]); });
    return take;
  };

  VS.part("picture", ({ root, props, upload, watch, options }) => {
    const input = VS.h("input", { type: "file", accept: "image/*", id: `vs-file-${Math.random().toString(36).slice(2)}`, class: "vs-file" });
    const thumb = VS.h("img", { class: "vs-thumb", alt: "" });
    const name = VS.h("span", { class: "vs-drop-name" });
    const zone = VS.h("label", { class: "vs-drop", for: input.id }, thumb,
      VS.h("span", { class: "vs-drop-text" }, name,
        VS.h("span", {}, VS.h("span", { class: "vs-link" }, "Choose a picture"), ", drop one here, or paste")));
    const error = VS.h("p", { class: "vs-error", role: "alert", hidden: true });
    const examples = VS.h("div", { class: "vs-examples", role: "group", "aria-label": "Example pictures" });
    root.append(input, zone, error, examples);

    const show = (value, uri, label) => {
      thumb.src = uri;
      thumb.alt = `The chosen picture: ${label}`;
      thumb.onload = () => thumb.classList.toggle("crisp", thumb.naturalWidth <= VS.SMALL);
      name.textContent = label;
      if (options.topic) VS.tell(options.topic, { value, label });
      for (const button of examples.children) button.setAttribute("aria-pressed", String(value.name === button.dataset.name));
    };
    let chosen = false; // by the visitor
    const choose = (value, uri, label) => {
      chosen = true;
      error.hidden = true;
      show(value, uri, label);
      props.value = value;
    };
    const take = VS.takesFiles({
      zone, input, upload,
      done: (value, uri) => choose(value, uri, value.file.orig_name),
      failed: (sentence) => { error.textContent = sentence; error.hidden = false; },
    });
    document.addEventListener("paste", (event) => {
      const file = [...event.clipboardData.files].find((f) => f.type.startsWith("image/"));
      if (file && zone.offsetParent) take(file);
    });
    for (const example of VS.examples) {
      examples.append(VS.h("button", {
        type: "button", class: "vs-example", "data-name": example.name, title: example.label, "aria-pressed": "false",
        onclick: () => choose({ kind: "example", name: example.name }, example.uri, example.label),
      }, VS.h("img", { src: example.uri, alt: example.label, class: example.name.startsWith("digit") ? "crisp" : null })));
    }
    const arrive = () => {
      const value = props.value || {};
      const example = VS.examples.find((e) => e.name === value.name);
      if (example) show(value, example.uri, example.label);
      else if (value.kind === "inline") show(value, value.uri, value.label);
    };
    watch("value", arrive);
    arrive();
    if (options.photographs) VS.on("models", (news) => {
      const model = news.models.find((m) => m.name === news.chosen);
      if (!model || chosen || props.value?.kind !== "example") return;
      const name = options.photographs.includes(model.family) ? "photo-parrot" : "digit-2";
      if (props.value.name === name) return;
      props.value = { kind: "example", name };
      arrive();
    });
  });

  // The sentence that says what went wrong, beside what caused it.
  VS.part("note", ({ root, props, watch }) => {
    const line = VS.h("p", { class: "vs-error", role: "alert" });
    root.append(line);
    const show = () => { line.textContent = props.value || ""; line.hidden = !props.value; };
    watch("value", show);
    show();
  });
})();
