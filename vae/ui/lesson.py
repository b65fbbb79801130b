"""The words for priors: what each is, and what it does to a variational and to a plain auto-encoder."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Words:
    """name: for visitors; term: the field's; says: what it is. for_vae, for_plain: what it does to the samples of a
    variational and of a plain auto-encoder."""

    name: str
    term: str
    says: str
    for_vae: str
    for_plain: str


PRIORS = {
    "normal": Words(
        "Plain noise",
        "N(0, I)",
        "Every number of the latent is drawn by itself, around 0. That is all a variational auto-encoder should need: "
        "its training pulls the latents there. Nobody pulls a plain one's.",
        "Noise mostly lands where pictures are, since training kept them there; what falls between them is blurred.",
        "Noise lands in no man's land: training left its latents wherever they came to lie.",
    ),
    "gaussian": Words(
        "One cloud",
        "a Gaussian fitted to the encoded training pictures",
        "The training pictures are encoded, and noise is stretched and turned until it has their mean and their "
        "correlations. It is the least one can do for a plain auto-encoder.",
        "Little changes: its latents were such a cloud already, or nearly.",
        "The noise is now where the latents are, but one cloud also covers all the gaps between them.",
    ),
    "mixture": Words(
        "Many small clouds",
        "a mixture of Gaussians fitted to them",
        "Up to a hundred clouds share the encoded training pictures among them, so that fewer draws fall into gaps.",
        "Better: the gaps that the pull of training left are mostly avoided.",
        "Most draws now fall near some picture's latent, and look like one.",
    ),
    "flow": Words(
        "A learned map",
        "a flow from N(0, I) onto them",
        "A small network learned to bend plain noise until it lies where the encoded training pictures lie, gaps and "
        "all. The noise is N(0, I) as before; the map makes the difference.",
        "Fewer are blurred, though of the two models this one needed the map least.",
        "Even a plain auto-encoder makes pictures now: the map has learned what its own training left out.",
    ),
}


def options() -> list[dict]:
    """The priors for the page: [{prior, name, term, says}]."""
    kept = ("name", "term", "says")
    return [{"prior": prior} | {k: v for k, v in asdict(w).items() if k in kept} for prior, w in PRIORS.items()]
