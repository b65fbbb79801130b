"""A guided way through the page in five steps, one idea each: `?tour=2` opens the second. static/tour.js shows it."""

from dataclasses import asdict, dataclass

from vae.errors import InputError

MODEL = "mnist-vae"  # of which the texts speak


@dataclass(frozen=True)
class Step:
    idea: str
    says: str
    tries: str  # what to do
    opens: dict[str, str]  # as an address's query would


STEPS = (
    Step(
        "Squeeze",
        "This digit has 1,024 pixels. The encoder turns it into 64 numbers, and the decoder redraws it from those "
        "alone. What the two have in common is what the model found worth keeping.",
        "Move the divider over the digit. Then choose another picture, or one of your own.",
        {"tab": "reconstruct", "model": MODEL, "image": "digit-8"},
    ),
    Step(
        "Draw",
        "Leave out the picture, and give the decoder random numbers. A variational auto-encoder was trained so that "
        "they mean something; a plain one was not, and draws shards.",
        "Draw new samples a few times, and look at both models. Then draw from a learned prior.",
        {"tab": "sample", "model": MODEL, "prior": "normal", "seed": "3"},
    ),
    Step(
        "Walk",
        "Two drawings are two points in the space of latents, and every point on the way from one to the other is a "
        "drawing too: one digit turns into the other without ever falling apart.",
        "Press Play, or move the slider by hand. Then let the path begin at a digit of your choice.",
        {"tab": "interpolate", "model": MODEL, "a": "3", "b": "4"},
    ),
    Step(
        "Map",
        "Here is the whole space at once, flattened. Each point is a digit that somebody wrote; equal ones gather, "
        "though nobody told the encoder what they are.",
        "Move over the map, and watch what the decoder draws at each place. What lies between the groups?",
        {"tab": "latent", "model": MODEL},
    ),
    Step(
        "Learn",
        "None of this was programmed. The model began with noise and was corrected, picture by picture, until its "
        "drawings were like the originals and its latents close to the prior.",
        "Start a training and watch digits form, in less than a minute; or replay one that is there.",
        {"tab": "train"},
    ),
)


def as_json() -> list[dict]:
    """The steps for the page."""
    return [asdict(step) for step in STEPS]


def opened(query: dict[str, str]) -> dict[str, str]:
    """An address's query with what its step of the tour opens, where the query itself says nothing else. Raises
    InputError for a step that there is not."""
    if "tour" not in query:
        return query
    if query["tour"] not in {str(n + 1) for n in range(len(STEPS))}:
        raise InputError(f"The link's step of the tour, {query['tour'][:40]}, is none from 1 to {len(STEPS)}.")
    return STEPS[int(query["tour"]) - 1].opens | query
