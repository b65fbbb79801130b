"""What the page and HTTP say of an image that a model does not suit, and which model to try instead."""

import numpy as np
from PIL import Image

from vae import images
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.jobs import Seen

KNOWS = {"mnist": "digits", "digits": "digits", "fashion-mnist": "clothes", "fashion": "clothes"}  # by trained_on
SIDE = 64  # pixels that an image is looked at with
COLOURFUL = 12  # grey levels between a colour photograph's least and greatest channel, on average
BLACK, WHITE = 32, 223  # grey levels; what is darker is the ground of all that these models know
TONES = 0.3  # of a photograph lie between the two, at least
FILLED = 0.6  # of its margin are no black ground; of 1 in 50 photographs less, of 1 in 5000 pictures of clothes more


def advice(catalog: Catalog, name: str | None, image: Image.Image, found: Seen) -> dict | None:
    """Which model to try instead, where one of digits or clothes was given a photograph, or one of grey images one in
    colour: {says, model}."""
    facts = catalog.facts(name)
    if facts["in_channels"] != 1 or found.cleaned:
        return None
    knows = KNOWS.get(str(facts["trained_on"]).casefold())
    unusual = found.unusual is not None and found.unusual.word == "very unusual"
    if not (_is_colourful(image) or (knows and _is_photograph(image, unusual))):
        return None
    return {"says": f"This model only knows {knows or 'grey pictures'}.", "model": catalog.for_photographs()}


def _is_colourful(image: Image.Image) -> bool:
    return float(np.ptp(_small(image, "RGB"), axis=2).mean()) > COLOURFUL


def _is_photograph(image: Image.Image, unusual: bool) -> bool:
    """Whether a grey image has the tones of a photograph, and fills its frame or is very unusual for the model."""
    grey = _small(image, "L")
    margin = np.ones(grey.shape, bool)
    margin[SIDE // 16 : -SIDE // 16, SIDE // 16 : -SIDE // 16] = False
    toned = np.mean((grey > BLACK) & (grey < WHITE)) > TONES
    return bool(toned and (unusual or np.mean(grey[margin] > BLACK) > FILLED))


def _small(image: Image.Image, mode: str) -> np.ndarray:
    small = images.flatten(image).convert(mode).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)
