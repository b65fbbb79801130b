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
        "Every number of the latent is drawn on its own, around 0. That is all a variational auto-encoder should need: "
        "its training pulls the latents there. Nothing does that for a plain one.",
        "Noise mostly lands where pictures are, since training kept them there; what lands in between is blurred.",
        "Noise lands far from any picture: training left the latents wherever they happened to end up.",
        "Clouds of colour, but no scene: each place of the latent is drawn on its own, and nothing makes them agree. "
        "In Stable Diffusion a second, far larger network does that; this one only draws what it is told to.",
    ),
    "gaussian": Words(
        "Single Gaussian",
        "fitted to the encoded training pictures",
        "The training pictures are encoded, and the noise is stretched and turned until it has their mean and their "
        "correlations. This is the least one can do for a plain auto-encoder.",
        "Little changes: its latents were close to a Gaussian already.",
        "The noise is now where the latents are, but a single Gaussian also covers all the gaps between them.",
        "Neighbouring places now agree in light and colour, so there are soft shapes. A mean and correlations cannot "
        "say what they should show.",
    ),
    "mixture": Words(
        "Gaussian mixture",
        "many small Gaussians fitted to them",
        "A hundred Gaussians or more share the encoded training pictures between them, each class its own, so that few "
        "draws fall into gaps, and one class can be drawn alone.",
        "Better: the gaps that training left are mostly avoided.",
        "Most draws now land near some picture's latent, and look like a picture.",
        "Soft shapes, like a photograph out of focus: a few thousand photographs are too few for Gaussians in so many "
        "dimensions.",
    ),
    "flow": Words(
        "Learned prior (flow)",
        "a network that maps N(0, I) to them",
        "A small network learned to bend plain noise until it lies where the encoded training pictures lie, and leaves "
        "out the gaps. The noise is N(0, I) as before; the network makes the difference.",
        "Fewer are blurred now, though a variational auto-encoder needs a learned prior less than a plain one does.",
        "Even a plain auto-encoder makes pictures now: the prior has learned what its training left out.",
        "Colours and light that go together, but no objects: this network takes the latent for one long list of "
        "numbers and knows nothing of places. A diffusion prior does, and gets further from the same photographs.",
    ),
    "diffusion": Words(
        "Diffusion prior",
        "a small transformer over the positions of the latent",
        "Noise becomes a latent in a few steps, and in each of them every place of it looks at all the others: what "
        "Stable Diffusion does, with a network a few hundred times smaller.",
        "Few are blurred now: the places of the latent agree on one picture.",
        "Even a plain auto-encoder makes pictures now: the places of its latent agree on one.",
        "A scene that hangs together: each place of the latent has seen the others. From the six thousand photographs "
        "behind dogs-vae-16 it learned coats, poses and grass, and some whole dogs; many are misshapen. How much is in "
        "it depends on how many photographs there were to learn from.",
    ),
}


def explain(prior: str, facts: dict, photos: bool) -> str:
    """What the prior does to the samples of the model with those facts. photos: whether it is of Stable Diffusion's
    kind."""
    words = PRIORS[prior]
    if not facts["variational"]:
        return words.for_plain
    return words.for_photos if photos else words.for_vae


def remedy(prior: str, of_run: bool) -> str:
    """What a visitor can do about a prior that is not fitted to a model; of_run: to one that was trained here."""
    if of_run:
        button = "Train a diffusion prior" if prior == "diffusion" else "Fit priors"
        return f"The Train tab fits it: choose the run there, then {button}."
    if prior == "diffusion":
        return "To fit one takes a GPU, or hours; the README says how, under “Command line”."
    return "The README says how to fit one, under “Command line”."


def options() -> list[dict]:
    """The priors for the page: [{prior, name, term, says}]."""
    kept = ("name", "term", "says")
    return [{"prior": prior} | {k: v for k, v in asdict(w).items() if k in kept} for prior, w in PRIORS.items()]


def names() -> dict[str, str]:
    """What the page calls each prior."""
    return {prior: words.name for prior, words in PRIORS.items()}
