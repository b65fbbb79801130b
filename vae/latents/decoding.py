"""Latents that encoding.py has written, back to image files."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from vae import images
from vae.data.image_set import WORKERS
from vae.errors import InputError
from vae.files import replacing, writing
from vae.latents.encoding import images_at_once
from vae.latents.latent_set import LatentSet, fingerprint_of
from vae.latents.scaling import unscale
from vae.models.base import AutoEncoder, as_model
from vae.tiling import decode


@torch.inference_mode()
def decode_set(
    model: AutoEncoder,
    found: LatentSet,
    folder: Path,
    batch_size: int | None = None,
    tile: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the image that each latent decodes to, `name.png` of the file's name it was encoded from, in its folders.

    Of the parts there are "latents" are decoded, else "mean". The next batch is computed while images are saved.
    Raises InputError for latents of another model, unless its decoder reads the same latent space, and for a set of
    "logvar" alone.
    """
    model = as_model(model)
    part, unscaled = _decoded_part(found), _reader(model, found)
    most = images_at_once(model, batch_size)
    targets = _targets(folder, found.names)
    done, saving = 0, []
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="saving") as pool:
        for numbers in _batches(found, lambda height, width: most(height * model.downscale, width * model.downscale)):
            z = unscaled(torch.stack([found[i][part].float() for i in numbers]))
            pixels = images.to_uint8(decode(model, z, tile=tile)).cpu()
            _finish(saving)
            saving = [
                _save(pool, targets[i], _cropped(x, found.sizes[i])) for i, x in zip(numbers, pixels, strict=True)
            ]
            done += len(numbers)
            if on_progress:
                on_progress(done, len(found))
        _finish(saving)


def stored_latents(model: AutoEncoder, found: LatentSet) -> Tensor:
    """All of a set's latents (N, C, h, w) as the model's decoder takes them. Raises InputError as `decode_set` does,
    and for several shapes."""
    return _reader(model, found)(found.stack(_decoded_part(found)).float())


def _decoded_part(found: LatentSet) -> str:
    part = next((part for part in ("latents", "mean") if part in found.parts), None)
    if part is None:
        raise InputError("Of these latents only logvar is kept, which cannot be decoded.")
    return part


def _reader(model: AutoEncoder, found: LatentSet) -> Callable[[Tensor], Tensor]:
    """From stored latents to those that the model decodes."""
    applied = found.scaling["applied"] and "latents" in found.parts
    if fingerprint_of(model) == found.plan["fingerprint"]:
        return (lambda z: unscale(model, z)) if applied else lambda z: z
    space = model.config.latent_space
    if space is None or space != found.plan["latent_space"]:
        raise InputError(
            f"These are latents of another model, {found.model!r}, and the decoder does not declare the same latent "
            "space."
        )
    if applied:  # models of one latent space agree on the scaled latent
        return lambda z: unscale(model, z)
    raise InputError(
        f"These latents are unscaled, as {found.model!r} gives them; for another model's decoder encode with --scaled."
    )


def _batches(found: LatentSet, most: Callable[[int, int], int]) -> Iterator[list[int]]:
    """The latents' places, those of one shape that follow one another together. most: of a latent's height, width."""
    batch: list[int] = []
    for i, (_, height, width) in enumerate(found.shapes):
        if batch and (len(batch) >= most(height, width) or found.shapes[i] != found.shapes[batch[0]]):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _targets(folder: Path, names: list[str]) -> list[Path]:
    """A .png for each below the folder; with a number where two names differ in their endings alone."""
    targets, used = [], set()
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"The name {name[:80]!r} in the index leads out of the folder.")
        stem = str(path.with_suffix("")) if path.suffix.lower() in images.SUFFIXES else str(path)
        found = next(each for each in (stem, *(f"{stem}-{i}" for i in range(2, len(names) + 2))) if each not in used)
        used.add(found)
        targets.append(folder / f"{found}.png")
    return targets


def _finish(saving: list[Future]) -> None:
    for each in saving:
        each.result()


def _cropped(pixels: Tensor, size: list[int]) -> Tensor:
    return pixels[:, : size[0], : size[1]]


def _save(pool: ThreadPoolExecutor, target: Path, pixels: Tensor) -> Future:
    def save() -> None:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target, durable=False) as part:
                part.write_bytes(images.png_bytes(images.to_image(pixels)))

    return pool.submit(save)
