"""A Source of encoded images, whether each is a file, a member of an archive or a cell of a table."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vae.data.source import Source
from vae.depth import Range, sentence, usual_range
from vae.errors import InputError
from vae.images import deep_values, open_image

LOOKED_AT = 16  # images whose colours are looked at
LONG = 2e-3  # seconds
_KINDS = {"I": "32-bit values", "F": "floats"}
MEASURED = 64  # images whose values are looked at, where they are deeper than 8 bits


def encoded(
    name: str,
    names: Sequence[str],
    get: Callable[[int], Path | bytes],
    span: Range | None,
    transparency: bool,
    **others,
) -> Source:
    """get: an image's path or bytes by its number; it may raise InputError. span, transparency: as open_image takes
    them; without a span, one for all images over 8 bits is found in those that are looked at. others: of the Source."""
    spans, remarks = _spans(get, len(names), span)

    def read(i: int, size_hint: int | None = None) -> Image.Image:
        return open_image(get(i), size_hint, spans, transparency)

    channels = _channels(get, len(names))
    one = spans if isinstance(spans, tuple) else next(iter(spans.values())) if len(spans) == 1 else None
    return Source(name, len(names), read, names, channels=channels, value_range=one, remarks=remarks, **others)


def _spans(
    get: Callable[[int], Path | bytes], count: int, span: Range | None
) -> tuple[Range | dict[str, Range], list[str]]:
    """What open_image is to take for the range of deep images, by their PIL mode, and sentences that say it; from
    images spread over the set, one range for all of a mode, so that they stay comparable. span: what is given."""
    found: dict[str, Range] = {}
    for values in _each(lambda i: deep_values(get(i)), range(0, count, max(1, count // MEASURED))):
        if values:
            mode, (low, high) = values
            before = found.get(mode, (low, high))
            found[mode] = min(low, before[0]), max(high, before[1])
    spans = {mode: span or usual_range(*ends, whole=mode != "F") for mode, ends in found.items()}
    return span or spans, [
        sentence(_KINDS.get(mode, "16-bit values"), ends, spans[mode]) for mode, ends in found.items()
    ]


def _channels(get: Callable[[int], Path | bytes], count: int) -> int | None:
    """3 if there is colour in some of the first images, 1 if there is none, whatever their files' modes; one more where
    any is transparent somewhere."""
    seen, colour, clear = False, False, False
    few = range(min(count, LOOKED_AT))
    for image in _each(lambda i: open_image(get(i), size_hint=64, transparency=True), few):
        if image is None:
            continue
        seen, pixels = True, np.atleast_3d(np.asarray(image))
        if image.mode in ("LA", "RGBA"):
            clear |= bool((pixels[..., -1] < 255).any())
            pixels = pixels[..., :-1][pixels[..., -1] > 0]  # what is wholly transparent has no colour
        colour |= bool(pixels.shape[-1] == 3 and (pixels[..., 1:] != pixels[..., :1]).any())
    return (3 if colour else 1) + clear if seen else None


def _each(look: Callable[[int], Any], numbers: range) -> list[Any]:
    """What `look` finds of each image; None of an unreadable one. From the first on that takes long, since it is large
    or comes over a network, several at once."""

    def safely(i: int) -> Any:
        try:
            return look(i)
        except InputError:
            return None

    found = []
    for i in numbers:
        start = time.perf_counter()
        found.append(safely(i))
        if time.perf_counter() - start > LONG:
            break
    else:
        return found
    with ThreadPoolExecutor(LOOKED_AT) as pool:
        return [*found, *pool.map(safely, numbers[len(found) :])]
