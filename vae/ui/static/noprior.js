// The notice that a model is no generator, and what its latents are like. The value is null for one that is.
(() => {
  VS.part("noprior", ({ root, props, watch }) => {
    const h = VS.h;
    const figure = (uri, width, title, says) => h("figure", {}, h("img", { src: uri, alt: title, class: width <= VS.SMALL ? "crisp" : null }), h("figcaption", {}, h("strong", {}, title), h("span", {}, says)));
    const fact = (word, term, number, says) => h("div", {}, h("dt", {}, word, h("small", {}, term)), h("dd", {}, number, h("small", {}, says)));
    const show = () => {
      const value = props.value;
      root.replaceChildren();
      if (!value) return;
      const unsure = value.sigma === null ? [VS.num(0), "each picture is one point"] : [VS.num(value.sigma), "N(0, I) itself has 1"];
      root.append(
        h("h3", {}, "This model is no generator"),
        h("p", {}, "It was trained to repaint pictures, with next to no pull towards N(0, I): in Stable Diffusion that pull, the KL term, weighs one millionth. So nothing was ever asked of the places where noise falls, and what is decoded from there, below, is texture. Stable Diffusion has another network make the latents, the diffusion model; this one only paints them."),
        h("dl", { class: "vs-stats" },
          fact("How far its latents spread", "std", VS.num(value.std), "N(0, I) spreads 1"),
          fact("How unsure it is of each number", "mean σ", ...unsure),
          fact("How alike neighbours are", "correlation", VS.num(value.alike), "in noise 0")),
        h("div", { class: "vs-trio" },
          figure(value.original, value.width, "A photograph", "as the encoder sees it"),
          figure(value.repainted, value.width, "Repainted", "from its own latent"),
          figure(value.noise, value.width, "Noise made to measure", "each channel with the photograph's own mean and spread")),
        h("p", {}, "Even noise with the right mean and spread is no picture, though its colours are the photograph's: a picture lies in how neighbouring numbers hang together."));
      VS.say("This model is no generator.");
    };
    watch("value", show);
    show();
  });
})();
