"""The words for priors: what each is, and what it does to a variational and to a plain auto-encoder."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Words:
    """name: for visitors; term: the field's; says: what it is. for_vae, for_plain, for_photos: what it does to the
    samples of a variational auto-encoder, of a plain one, and of a variational one of Stable Diffusion's kind."""

    name: str
    term: str
    says: str
    for_vae: str
    for_plain: str
    for_photos: str


PRIORS = {
    "normal": Words(
        "Plain noise",
        "N(0, I)",
        "Every number of the latent is drawn by itself, around 0. That is all a variational auto-encoder should need: "
        "its training pulls the latents there. Nobody pulls a plain one's.",
        "Noise mostly lands where pictures are, since training kept them there; what falls between them is blurred.",
        "Noise lands in no man's land: training left its latents wherever they came to lie.",
        "Clouds of colour, no scene: each place of the latent is drawn by itself, and nothing makes them agree. In "
        "Stable Diffusion that is the work of a second, far larger network; this one only paints what it is told.",
    ),
    "gaussian": Words(
        "One cloud",
        "a Gaussian fitted to the encoded training pictures",
        "The training pictures are encoded, and noise is stretched and turned until it has their mean and their "
        "correlations. It is the least one can do for a plain auto-encoder.",
        "Little changes: its latents were such a cloud already, or nearly.",
        "The noise is now where the latents are, but one cloud also covers all the gaps between them.",
        "Neighbouring places agree in light and colour now, so there are soft shapes. What they show is more than "
        "a mean and correlations can say.",
    ),
    "mixture": Words(
        "Many small clouds",
        "a mixture of Gaussians fitted to them",
        "A hundred clouds or more share the encoded training pictures among them, so that few draws fall into gaps.",
        "Better: the gaps that the pull of training left are mostly avoided.",
        "Most draws now fall near some picture's latent, and look like one.",
        "Softly lit shapes, as of a photograph out of focus: a few thousand photographs are too few for clouds in so "
        "many dimensions.",
    ),
    "flow": Words(
        "A learned map",
        "a flow from N(0, I) onto them",
        "A small network learned to bend plain noise until it lies where the encoded training pictures lie, gaps and "
        "all. The noise is N(0, I) as before; the map makes the difference.",
        "Fewer are blurred now, though a variational auto-encoder needs the map less than a plain one.",
        "Even a plain auto-encoder makes pictures now: the map has learned what its own training left out.",
        "Colours and light that go together, but no things yet: a few thousand photographs teach a small map no more. "
        "A diffusion model is the same idea, many times larger, with millions of photographs to learn from.",
    ),
}


def explain(prior: str, facts: dict, photos: bool) -> str:
    """What the prior does to the samples of the model with those facts. photos: whether it is of Stable Diffusion's
    kind."""
    words = PRIORS[prior]
    if not facts["variational"]:
        return words.for_plain
    return words.for_photos if photos else words.for_vae


def options() -> list[dict]:
    """The priors for the page: [{prior, name, term, says}]."""
    kept = ("name", "term", "says")
    return [{"prior": prior} | {k: v for k, v in asdict(w).items() if k in kept} for prior, w in PRIORS.items()]


def names() -> dict[str, str]:
    """What the page calls each prior."""
    return {prior: words.name for prior, words in PRIORS.items()}
