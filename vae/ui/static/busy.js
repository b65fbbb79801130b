// What takes long: how far it is, and a button that stops it. The value is {ticket, what, share}, null when it is done.
(() => {
  VS.part("busy", ({ root, props, server, watch }) => {
    const h = VS.h;
    const says = h("span", {}), bar = h("progress", { class: "live", max: 1, "aria-label": "Progress" });
    const stop = h("button", { type: "button", class: "vs-button", onclick: () => { server.stop(props.value.ticket); box.hidden = true; VS.say("Stopped."); } }, "Stop");
    const box = h("div", { class: "vs-busy", hidden: true }, says, bar, stop);
    root.append(box);
    watch("value", () => {
      const now = props.value;
      box.hidden = !now;
      if (!now) return;
      says.textContent = now.what || "Starting";
      if (now.share === null || now.share === undefined) bar.removeAttribute("value"); else bar.value = now.share;
    });
  });
})();
