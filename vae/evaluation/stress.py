"""What a model's reconstruction bears: being encoded again and again, less precise numbers, latents that are turned,
made smaller, or noisy.

Every test takes an image as `vae.reconstruct` does, looks at it in 8 bits, and gives a Stage for each thing that was
done; the first stage of each but the precisions is the image that `vae.reconstruct` gives.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from vae import images, limits
from vae.checks import as_image, whole_number
from vae.colour import delta_e
from vae.equivariance import treated_alike
from vae.errors import InputError
from vae.inference import Progress, make_generator, prepare
from vae.metrics import psnr, ssim
from vae.models.base import AutoEncoder, as_model
from vae.tiling import decode, encode, pad

MOST_CYCLES = 100
PRECISIONS = ("float32", "bfloat16", "float16")
LARGEST = {"float16": 65504.0}  # the largest number of a format that ends sooner than float32
TURNS = ((1, "a quarter turn"), (2, "a half turn"), (3, "three quarter turns"))
SCALES = ((0.75, "3/4 of the size"), (0.5, "half the size"), (0.25, "a quarter of the size"))
NOISE = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)  # standard deviations of the image's own latent


@dataclass(frozen=True)
class Stage:
    """label: what was done, in words; at: the same as a number. image: what came of it. psnr (dB), ssim and delta_e
    (CIEDE2000) compare it with the image that the model saw, treated alike where that was turned or made smaller.
    drift: how much brighter the whole has become, in each channel, in steps of 255. remark: a sentence, or None."""

    label: str
    at: float
    image: Image.Image
    psnr: float
    ssim: float
    delta_e: float
    drift: tuple[float, ...]
    remark: str | None = None


@torch.inference_mode()
def round_trips(
    model: AutoEncoder,
    image: Image.Image,
    cycles: int = 10,
    *,
    max_side: int | None = None,
    clean_photo: bool = True,
    progress: Progress | None = None,
) -> list[Stage]:
    """The image encoded and decoded `cycles` times, each time what the last time gave: what is lost each time, and
    which way the colours drift. image, max_side, clean_photo: as vae.reconstruct has them."""
    model, cycles = as_model(model), whole_number("The number of cycles", cycles, 1, MOST_CYCLES)
    x, stages = _seen(model, image, max_side, clean_photo), []
    y = x
    for cycle in range(1, cycles + 1):
        _tell(progress, f"Cycle {cycle}", cycle - 1, cycles)
        y = _decoded(model, encode(model, y).mode(), x)
        stages.append(_stage(f"cycle {cycle}", cycle, x, y))
    return stages


@torch.inference_mode()
def precisions(
    model: AutoEncoder,
    image: Image.Image,
    names: Sequence[str] = PRECISIONS,
    *,
    max_side: int | None = None,
    clean_photo: bool = True,
    progress: Progress | None = None,
) -> list[Stage]:
    """The image through the model in other number formats: some of PRECISIONS, in which weights and all that is
    computed are kept. The remark says what the format did; of numbers that are none (NaN), where they began and why.

    Such pixels are grey in the Stage's image. Raises InputError for another name, and without room for a copy.
    """
    model = as_model(model)
    unknown = [name for name in names if name not in PRECISIONS]
    if unknown or not names:
        raise InputError(
            f"The precisions are some of {', '.join(PRECISIONS)}, not {unknown[0] if unknown else 'none'!r}."
        )
    limits.check_memory(8 * model.parameter_count, "This model a second time")
    x = _seen(model, image, max_side, clean_photo)
    _tell(progress, "float32", 0, len(names) + 1)
    exact = _in_format(model, torch.float32, x)
    stages = []
    for done, name in enumerate(names):
        _tell(progress, name, done + 1, len(names) + 1)
        found = exact if name == "float32" else _in_format(model, getattr(torch, name), x)
        y = images.to_uint8(found.decoded.nan_to_num(0.0))
        stages.append(_stage(name, torch.finfo(getattr(torch, name)).bits, x, y, _explained(name, found, exact)))
    return stages


@torch.inference_mode()
def equivariance(
    model: AutoEncoder,
    image: Image.Image,
    *,
    max_side: int | None = None,
    clean_photo: bool = True,
    progress: Progress | None = None,
) -> list[Stage]:
    """The image's latent turned and made smaller, decoded, and compared with the image treated alike (EQ-VAE,
    arXiv:2502.09509). A model of one size is not asked for smaller images. at: the scale, or the quarter turns."""
    model = as_model(model)
    x = _seen(model, image, max_side, clean_photo)
    z, fixed = encode(model, x).mode(), model.config.fixed_size
    whole = images.to_float(x if fixed else pad(x, model.downscale)).to(z.device)
    stages = [_stage("as it is", 0, x, _decoded(model, z, x))]
    turns = [(label, turn, 1.0, turn) for turn, label in TURNS if not fixed or z.shape[-1] == z.shape[-2]]
    smaller = [] if fixed else [(label, scale, scale, 0) for scale, label in SCALES]
    for done, (label, at, scale, turn) in enumerate([*turns, *smaller]):
        _tell(progress, label, done, len(turns) + len(smaller))
        y, y_hat = treated_alike(lambda z: decode(model, z).float(), whole, z.float(), scale, turn)
        stages.append(_stage(label, at, *(images.to_uint8(each).cpu() for each in (y, y_hat))))
    return stages


@torch.inference_mode()
def noise(
    model: AutoEncoder,
    image: Image.Image,
    levels: Sequence[float] = NOISE,
    seed: int = 0,
    *,
    max_side: int | None = None,
    clean_photo: bool = True,
    progress: Progress | None = None,
) -> list[Stage]:
    """The image's latent with Gaussian noise added, decoded: how smooth the decoder is around it. levels: the noise's
    standard deviations, in those of the image's own latent; it is the same noise at each level."""
    model = as_model(model)
    x = _seen(model, image, max_side, clean_photo)
    z = encode(model, x).mode().float().cpu()
    unit = z.std() * torch.randn(z.shape, generator=make_generator(seed))
    stages = []
    for done, level in enumerate(levels):
        _tell(progress, f"Noise {level:g}", done, len(levels))
        stages.append(_stage(f"{level:g} σ" if level else "no noise", level, x, _decoded(model, z + level * unit, x)))
    return stages


TESTS: dict[str, Callable[..., list[Stage]]] = {
    "cycles": round_trips,
    "precision": precisions,
    "equivariance": equivariance,
    "noise": noise,
}


@dataclass(frozen=True)
class _Run:
    """decoded: on the CPU, NaN where the format broke; broken: the first module whose numbers were not finite; largest:
    of each module that stayed finite the largest number, without its sign."""

    decoded: Tensor
    broken: str | None
    largest: dict[str, float]


def _in_format(model: AutoEncoder, dtype: torch.dtype, x: Tensor) -> _Run:
    kept = {id(model.fitted_priors): model.fitted_priors}  # not copied with it
    copied = model if model.dtype == dtype else copy.deepcopy(model, kept).to(dtype)
    broken: list[str] = []
    largest: dict[str, float] = {}

    def look(name: str, module: torch.nn.Module, inputs: tuple, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
            most = output.abs().amax().item()
            if most == most and most != float("inf"):
                largest[name] = max(most, largest.get(name, 0.0))
            else:
                broken.append(name)

    hooks = [module.register_forward_hook(partial(look, name)) for name, module in copied.named_modules() if name]
    try:
        z = encode(copied, x).mode()
        finite = bool(z.isfinite().all())
        decoded = decode(copied, z, x.shape[-2:]).float().cpu() if finite else torch.full(x.shape, torch.nan)
    finally:
        for hook in hooks:
            hook.remove()
    if decoded.shape != x.shape:
        raise _other_colours(decoded, x)
    return _Run(decoded, broken[0] if broken else None, largest)


def _explained(name: str, found: _Run, exact: _Run) -> str:
    share = found.decoded.isnan().float().mean().item()
    place = found.broken or max(exact.largest, key=exact.largest.__getitem__, default="")
    most = exact.largest.get(place, 0.0)
    if share:
        end = LARGEST.get(name)
        why = (
            f"at {place} its numbers reach {most:,.0f} in float32, and {name} ends at {end:,.0f}: what is beyond "
            "becomes infinity, and infinity less infinity is no number"
            if end is not None and found.broken
            else f"they begin at {found.broken or 'the end'}"
        )
        return f"{100 * share:.0f}% of the pixels are no numbers (NaN): {why}."
    if name == "float32":
        return f"The largest number inside is {most:,.0f}, at {place}." if place else "All numbers are finite."
    off = (found.decoded - exact.decoded).abs().mean().item() * 127.5
    room = (
        f"; the largest number inside is {most:,.0f}, and {name} ends at {LARGEST[name]:,.0f}"
        if name in LARGEST
        else ""
    )
    return f"On average {off:.2g} of 255 steps from float32{room}."


def _seen(model: AutoEncoder, image: Image.Image, max_side: int | None, clean_photo: bool) -> Tensor:
    """uint8 (1, C, H, W): the image as the model is to see it."""
    if max_side is not None:
        max_side = whole_number("The longest side", max_side, 1)
    original, _, _ = prepare(model, as_image(image), max_side, clean_photo)
    return torch.from_numpy(images.to_array(original).copy())[None]


def _decoded(model: AutoEncoder, z: Tensor, x: Tensor) -> Tensor:
    """uint8, on the CPU, of the size of x."""
    y = decode(model, z, x.shape[-2:])
    if y.shape != x.shape:
        raise _other_colours(y, x)
    return images.to_uint8(y).cpu()


def _other_colours(y: Tensor, x: Tensor) -> InputError:
    return InputError(
        f"This model makes images of {y.shape[1]} channels out of {x.shape[1]}, which cannot be compared."
    )


def _stage(label: str, at: float, x: Tensor, y: Tensor, remark: str | None = None) -> Stage:
    return Stage(
        label=label,
        at=float(at),
        image=images.to_image(y[0]),
        psnr=psnr(x, y).item(),
        ssim=ssim(x, y).item(),
        delta_e=delta_e(x, y).item(),
        drift=tuple((y.double() - x.double()).mean((0, 2, 3)).tolist()),
        remark=remark,
    )


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress is not None:
        progress(what, done, total)
