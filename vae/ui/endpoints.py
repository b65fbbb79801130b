"""The endpoints of an interpolation, as the page sends them."""

import re

from vae.errors import InputError
from vae.inference import MAX_SEED, Draw, Endpoint
from vae.latents.priors import MOST_STEPS
from vae.ui.components import number, whole
from vae.ui.latent_points import read_point
from vae.ui.uploads import read_picture

MAX_INDEX = 4095  # of a sample on the page
MAX_LINK = 1500  # characters of an end in an address


def read_endpoint(value: object, model: str | None) -> Endpoint:
    """One endpoint as inference takes it. A sample is drawn again from its seed, and a point of the latent space comes
    with its numbers, so that the latent is exact; where they are another model's than the chosen one's, their image is
    encoded instead."""
    if not isinstance(value, dict):
        raise InputError("Each end is a seed, a sample, a point of the latent space or a picture.")
    if value.get("kind") == "seed":
        return Draw(whole("The seed", value.get("seed"), 0, MAX_SEED))
    if value.get("kind") == "sample" and value.get("model") == model:
        return Draw(
            whole("The seed", value.get("seed"), 0, MAX_SEED),
            whole("The sample", value.get("index"), 0, MAX_INDEX),
            number("The temperature", value.get("temperature"), 0, 10),
            str(value.get("prior")),
            None if value.get("of") is None else str(value["of"]),
            None if value.get("steps") is None else whole("The sample's steps", value["steps"], 1, MOST_STEPS),
        )
    if value.get("kind") == "point" and value.get("model") == model:
        return read_point(value.get("z"))
    return read_picture(value)


def write_link(value: object, model: str | None) -> str | None:
    """An end as a link has it: `7`, a seed; `sample:5:7:flow:1.0`, index, seed, prior, as `diffusion-4` with its steps
    if they were chosen, and temperature, and after one more colon the class it is of, if of one; `point:…`. None for
    one that no link can hold: an image, or what belongs to another model."""
    value = value if isinstance(value, dict) else {}
    if value.get("kind") == "seed":
        return str(value.get("seed"))
    if value.get("model") != model:
        return None
    if value.get("kind") == "sample":
        parts = [str(value.get(key)) for key in ("index", "seed", "prior", "temperature")]
        parts[2] += "" if value.get("steps") is None else f"-{value['steps']}"
        return ":".join(["sample", *parts] + ([] if value.get("of") is None else [str(value["of"])]))
    text = f"point:{value.get('z')}"
    return text if value.get("kind") == "point" and len(text) <= MAX_LINK else None


def read_link(text: str, model: str | None) -> dict:
    """The end that `write_link` wrote, in that model. Raises InputError for nonsense."""
    kind, _, rest = text.partition(":")
    if text.isdecimal() and len(text) <= 19:
        value = {"kind": "seed", "seed": int(text)}
    elif kind == "sample" and re.fullmatch(r"\d{1,4}:\d{1,19}:[a-z]+(-\d{1,2})?:[\d.]{1,8}(:.{1,100})?", rest):
        index, seed, prior, temperature, *of = rest.split(":", 4)
        facts = {"index": int(index), "seed": int(seed), "prior": prior, "temperature": float(temperature)}
        facts["prior"], _, steps = prior.partition("-")
        facts |= {"of": of[0] if of else None, "steps": int(steps) if steps else None}
        value = {"kind": "sample", "label": f"sample {int(index) + 1} of seed {seed}", "model": model} | facts
    elif kind == "point":
        value = {"kind": "point", "z": rest, "label": "a point of the link", "model": model}
    else:
        raise InputError(f"The link's end, {text[:40]}, is neither a seed nor a sample nor a point.")
    read_endpoint(value, model)
    return value


def label(value: object) -> str:
    """What the page calls an end."""
    value = value if isinstance(value, dict) else {}
    if value.get("kind") == "seed":
        return f"seed {value.get('seed')}"
    file = value.get("file")
    if value.get("kind") == "example":
        return str(value.get("name"))[:60]
    name = value.get("label") or (file.get("orig_name") if isinstance(file, dict) else None) or "picture"
    return str(name)[:60]
