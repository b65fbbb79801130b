"""The endpoints of an interpolation, as the page sends them."""

from vae.errors import InputError
from vae.inference import MAX_SEED, Draw, Endpoint
from vae.ui.components import number, whole
from vae.ui.latent_points import read_point
from vae.ui.uploads import read_picture

MAX_INDEX = 4095  # of a sample on the page


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
        )
    if value.get("kind") == "point" and value.get("model") == model:
        return read_point(value.get("z"))
    return read_picture(value)


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
