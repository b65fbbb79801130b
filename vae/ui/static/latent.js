// The latent space: maps of one or two models; under each what the decoder paints at a place, sliders over the most
// active dimensions, and the dimensions as bars. Pictures come from the server as one goes, one at a time.
(() => {
  const ROOM = 144; // CSS pixels for a picture under a map
  const LOST = { error: "The server does not answer; try again in a moment." };

  // Asks one thing at a time; of what is wished meanwhile only the newest is asked for, but a choice is never passed over
  // for a move. A wish is {keep: whether it is a choice, request(): what to ask for, made when its turn comes}. Of an answer
  // that takes over half a second waiting(true) tells.
  const newestFirst = (ask, waiting, show) => {
    let choice = null, move = null, busy = false;
    return async (wish) => {
      if (wish.keep) [choice, move] = [wish, null]; else move = wish;
      if (busy) return;
      busy = true;
      while (choice || move) {
        const mine = choice || move;
        if (mine === choice) choice = null; else move = null;
        const late = setTimeout(waiting, 500, true);
        const answer = await ask(mine.request()).catch(() => LOST);
        clearTimeout(late);
        waiting(false);
        show(answer, mine);
      }
      busy = false;
    };
  };
  // Shows pictures one after another, one for each frame of the screen; what it cannot keep up with is left out.
  const projector = (show, most) => {
    let reel = [], frame = 0;
    const next = () => {
      frame = reel.length ? requestAnimationFrame(next) : 0;
      if (reel.length) show(reel.shift());
    };
    return {
      play: (pictures) => { reel = [...reel, ...pictures].slice(-most); if (!frame) next(); },
      stop: () => { reel = []; },
    };
  };
  const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const short = (name) => (/^([~/]|\.|[A-Z]:)/.test(name) ? name.split(/[\\/]/).filter(Boolean).pop() : name);
  const withArticle = (word) => (/^\d$/.test(word) ? `${word === "8" ? "an" : "a"} ${word}` : word);

  // One model's space. send(what is sent on), hovered(index of a picture or null).
  const makeSpace = (facts, { server, send, hovered }) => {
    const h = VS.h, { name, classes, labels } = facts, title = short(name);
    const kind = facts.variational ? "Variational auto-encoder" : "Auto-encoder";
    const error = h("p", { class: "vs-error", role: "alert", hidden: true });
    const note = h("p", { class: "vs-caption" });
    const painted = h("img", { class: "vs-painted", alt: "" });
    // With the border that the model sees around it, so that the two pictures can be compared.
    const border = facts.image_size - facts.side < 9 ? Math.max(0, facts.image_size - facts.side) / 2 : 0;
    const seen = h("canvas", { width: facts.side + 2 * border, height: facts.side + 2 * border, role: "img" });
    const seenSays = h("span", {}), paintedSays = h("span", {});
    const scatter = VS.scatter({
      label: `Map of ${title}. Arrow keys move over it and the decoder paints what is there; Enter chooses the place.`,
      moved: (place, near, keyboard) => {
        hovering = place !== null;
        near = near ?? (base.place ? scatter.nearest(base.place) : null);
        read(near);
        hovered(hovering ? near : null);
        if (!hovering) { rest(); return; }
        way = [...way, place].slice(-facts.steps);
        wish({ request: () => {
          const request = { ...asked(), z: base.z, to: way };
          way = [];
          return request;
        } });
        if (keyboard) announce(near);
      },
      chosen: (place, i) => {
        choose(i === null ? "a place" : numbered(i), () => (i === null ? { z: base.z, to: [place] } : { at: i }));
      },
    });
    let map = null, known = {}, base = {}, hovering = false, sheet = null, near = null, way = [], turns = [], speech = 0, changes = 0;

    const asked = () => ({ model: name, map });
    const named = (i) => (labels ? classes[labels[i]] : null);
    const numbered = (i) => `picture ${Math.floor((i * facts.images) / facts.n) + 1}${named(i) === null ? "" : ` (${named(i)})`}`;
    const complain = (sentence) => { error.textContent = sentence || ""; error.hidden = !sentence; };
    const announce = (i) => { clearTimeout(speech); speech = setTimeout(() => VS.say(i === null ? "" : `Nearest: ${numbered(i)}`), 500); };

    // The picture nearest to the place, from the sheet.
    const read = (i) => {
      near = i;
      if (i === null) return;
      seenSays.textContent = named(i) === null ? numbered(i) : withArticle(named(i));
      seen.setAttribute("aria-label", `The nearest picture of the ${facts.split} set: ${numbered(i)}`);
      if (!sheet) return;
      const c = seen.getContext("2d"), { side, columns } = facts;
      c.fillRect(0, 0, seen.width, seen.height);
      c.drawImage(sheet, (i % columns) * side, Math.floor(i / columns) * side, side, side, border, border, side, side);
    };
    const film = projector((picture) => { painted.src = picture; }, facts.steps);
    const called = (where) => {
      painted.alt = `What ${title} decodes at ${where}`;
      paintedSays.textContent = where;
    };
    const rest = () => {
      film.stop();
      if (base.pictures) painted.src = base.pictures.at(-1);
      called(base.says);
    };
    const waiting = (late) => pictures.classList.toggle("late", late);
    const wish = newestFirst((request) => server.latent_space_look(request), waiting, (answer, { keep, slid, says }) => {
      complain(answer.error);
      if (answer.error) return;
      if (keep) {
        base = { ...answer, says: says ?? base.says };
        scatter.place(base.place);
        if (!hovering) read(scatter.nearest(base.place));
        if (!slid) sliders.forEach((slider, i) => slider.set(base.values[i]));
        if (says && !slid && says !== MEAN) VS.say(`Chosen: ${says}.`);
        if (!slid) film.stop();
        called(base.says);
      } else if (!hovering) return;
      else called("this place");
      film.play(answer.pictures);
    });

    const MEAN = "the mean";
    const choose = (says, from) => {
      way = turns = []; // these began elsewhere
      clearTimeout(speech);
      wish({ keep: true, says, request: () => ({ ...asked(), ...from() }) });
    };
    const sliders = facts.sliders.map(({ dim, low, high, mean }) => {
      const input = h("input", { type: "range", class: "vs-scrub", min: low, max: high, step: (high - low) / 240, value: mean, id: `vs-dim-${title}-${dim}`, "aria-label": `Latent dimension ${dim} of ${title}` });
      const says = h("output", {});
      const set = (value) => { input.value = value; says.textContent = Number(value).toFixed(2).replace(/^-(?=.*[1-9])/, "−").replace("-", ""); };
      input.addEventListener("input", () => {
        set(input.value);
        turns = [...turns, { [dim]: Number(input.value) }];
        if (turns.length > facts.steps) turns.splice(0, 2, { ...turns[0], ...turns[1] });
        wish({ keep: true, slid: true, says: base.says?.endsWith("changed") ? base.says : `${base.says}, changed`, request: () => {
          const request = { ...asked(), z: base.z, set: turns };
          turns = [];
          return request;
        } });
      });
      set(mean);
      return { set, node: h("div", { class: "vs-dim" }, h("span", { "aria-hidden": "true" }, String(dim)), input, says) };
    });

    const button = (text, action, icon) => h("button", { type: "button", class: "vs-button small", onclick: action }, icon ? VS.icon(icon) : null, text);
    const sendTo = (to) => () => base.z && send({ to, model: name, z: base.z, uri: base.pictures.at(-1), label: `${base.says} in ${title}` });
    const actions = h("div", { class: "vs-space-actions" },
      button("Interpolate: A", sendTo("a")), button("Interpolate: B", sendTo("b")),
      button("PNG", () => base.z && VS.download(base.pictures.at(-1), `${title}-${base.says}.png`.replaceAll(/[^\w.-]+/g, "-")), VS.icons.download),
      button("Back to the mean", () => choose(MEAN, () => ({}))));
    const sized = (node, size) => { node.style.width = node.style.height = `${size * VS.factor(size, ROOM)}px`; node.classList.toggle("crisp", size <= VS.SMALL); return node; };
    const pictures = h("div", { class: "vs-here" },
      h("figure", {}, sized(painted, facts.image_size), h("figcaption", {}, h("strong", {}, "Decoded"), paintedSays)),
      h("figure", {}, sized(seen, seen.width), h("figcaption", {}, h("strong", {}, "Nearest picture"), seenSays)),
      actions);

    // Two raw dimensions, where the map is of those.
    const pair = facts.first.map((dim, k) => h("input", { type: "number", class: "vs-number", min: 0, max: facts.dims - 1, step: 1, value: dim, "aria-label": `Latent dimension ${k ? "up" : "across"}, ${title}`, onchange: () => go("dims") }));
    const choice = h("span", { class: "vs-pair", hidden: true }, pair[0], "across,", pair[1], "up");
    const go = async (wanted) => {
      const here = facts.maps.includes(wanted) ? wanted : facts.maps[0], dims = pair.map((input) => Number(input.value));
      choice.hidden = here !== "dims";
      const next = here === "dims" ? dims : here, key = String(next), mine = ++changes;
      known[key] ||= await server.latent_space_map({ model: name, map: next }).then((found) => (found.error ? found : { ...found, points: floats(found.points) })).catch(() => LOST);
      const found = known[key];
      if (found.error) delete known[key];
      if (mine !== changes) return; // another map was chosen meanwhile
      complain(found.error);
      if (found.error) return;
      map = next;
      hovering = false;
      const fits = scatter.set({ ...found, labels, classes });
      note.textContent = (here !== wanted ? "There is no class map here; it takes three classes or more. " : "") +
        (fits ? "Inside the dashed line: 95% of the draws from N(0, I)." : "Most draws from N(0, I) land far outside this map.");
      choose(base.says ? null : MEAN, () => ({ z: base.z }));
    };

    const bars = VS.bars({
      title: facts.variational ? "What each number carries" : "How far each number varies",
      term: facts.variational ? "KL per dimension" : "std; it has no KL",
      label: `The ${facts.bars.length} largest of ${facts.dims} latent dimensions of ${title}; arrow keys read them`,
      bars: facts.bars.map((bar) => ({ ...bar, value: facts.variational ? bar.kl : bar.std })),
      total: `${VS.num(facts.active)} of ${VS.num(facts.dims)} numbers are active (dotted)${facts.variational ? `, ${VS.num(facts.kl)} nats in all` : ""}`,
      says: (bar) => `number ${bar.dim}: ${facts.variational ? `KL ${VS.num(bar.kl)} nats, ` : ""}std ${VS.num(bar.std)}, ${bar.active ? "active" : "idle"}`,
    });
    const node = h("section", { class: "vs-space", "aria-label": `${kind} ${title}` },
      h("h3", {}, kind, h("small", {}, title)),
      h("div", { class: "vs-map-side" }, scatter.node, h("div", { class: "vs-map-note" }, note, choice)),
      h("div", { class: "vs-here-side" }, pictures, error,
        h("h4", {}, "Turn one number at a time", h("small", {}, "the most active, ±3 σ")), h("div", { class: "vs-dims" }, sliders.map((slider) => slider.node)), bars.node));
    return { node, facts, go, draw: () => { scatter.draw(); bars.draw(); }, ring: scatter.ring, show: (image) => { sheet = image; read(near); } };
  };

  VS.part("latent", ({ root, props, server, trigger, watch }) => {
    const h = VS.h, notice = h("div", { class: "vs-unmeasured", hidden: true }), legend = h("ul", { class: "vs-legend-list", hidden: true }), all = h("div", { class: "vs-spaces" });
    const sheets = {};
    let spaces = [], map = null, shown = "";
    root.append(notice, legend, all);

    const tell = (unmeasured, names) => {
      notice.hidden = !unmeasured;
      if (!unmeasured) return;
      const { says, commands, refused } = unmeasured, code = commands.map((line) => h("code", {}, line));
      const name = short(unmeasured.name);
      notice.replaceChildren(...[
        h("h3", {}, refused ? `The map of ${name} cannot be shown` : `${name} has no map yet`),
        refused ? h("p", { class: "vs-error" }, says) : h("p", {}, "A map takes a measurement: a data set is encoded once, and what is found is kept beside the weights. ", says),
        code.length ? h("pre", {}, code) : null,
        names.length ? h("p", {}, `Until then, here ${names.length > 1 ? "are the maps" : "is the map"} of ${names.join(" and ")}, which show best what there is to see.`) : null,
      ].filter(Boolean));
    };
    const explain = (classes) => {
      const plain = !classes || classes.every((name, i) => VS.classMark(classes, i) === name);
      legend.hidden = plain;
      legend.replaceChildren(...(plain ? [] : classes.map((name, i) => h("li", { style: `--swatch: var(--vs-class-${i % 10})` }, h("b", {}, VS.classMark(classes, i)), name))));
    };
    const fetchSheet = async (space) => {
      const { name, sheet } = space.facts;
      sheets[sheet] ||= server.latent_space_sheet({ model: name }).then(({ uri }) => VS.image(uri));
      sheets[sheet].then(space.show).catch(() => { delete sheets[sheet]; }); // without it there are only words
    };
    const show = () => {
      const value = props.value;
      if (!value) return;
      tell(value.unmeasured, value.spaces.map((space) => space.name));
      const key = JSON.stringify(value.spaces.map((space) => [space.name, space.sheet, space.kl, space.sliders]));
      if (key === shown) return;
      shown = key;
      spaces = value.spaces.map((facts) => {
        const hovered = (i) => spaces.forEach((other) => { if (other !== space && other.facts.sheet === facts.sheet && other.facts.n === facts.n) other.ring(i); });
        const space = makeSpace(facts, { server, hovered, send: (what) => trigger("send", what) });
        return space;
      });
      all.dataset.n = spaces.length;
      all.replaceChildren(...spaces.map((space) => space.node));
      explain(spaces[0]?.facts.classes);
      if (map) go();
    };
    // Once it has been measured, the map appears by itself.
    VS.poll(notice, 3000, async () => {
      const { unmeasured } = props.value;
      const news = await server.latent_space_opened({ model: unmeasured.name });
      if (props.value.unmeasured !== unmeasured || news.unmeasured !== null) return;
      props.value = news;
      show();
      VS.say(`${short(unmeasured.name)} is measured: here is its map.`);
    });
    const go = async () => {
      await Promise.all(spaces.map((space) => space.go(map)));
      spaces.forEach(fetchSheet);
    };
    VS.onTheme(() => spaces.forEach((space) => space.draw()));
    VS.on("latent-map", (wanted) => { map = wanted; go(); });
    watch("value", show);
    show();
  });
})();
