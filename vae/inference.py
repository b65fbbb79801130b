"""A trained model at work: reconstruct an image, draw new ones, interpolate between latents.

Python, the command line, HTTP and the page all call these functions, so the same image, seed and model give the same
pixels and figures through each; on a CPU up to rounding, since fewer threads compute while others use the machine (see
threads.py). Large images are computed in tiles (see tiling.py), many of them in batches.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from vae import images, latents
from vae.checks import as_image, real_number, whole_number
from vae.digit_photo import DigitPhoto, clean_digit, share_of
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.latents import interpolation, priors
from vae.metrics import psnr, ssim
from vae.models.base import AutoEncoder, as_model
from vae.tiling import decode, encode, few_threads, tile_for

MAX_SEED = 2**63 - 1
BATCH = 16 * 64**2  # pixels that are decoded at once, in up to 64 images
GROUP = 16  # latents whose noise is drawn at once: see `_noise`
KINDS = ("path", "grid", "loop")

Progress = Callable[[str, int, int], None]  # what is done now, how much of it is done, and how much in all; 0: unknown
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Reconstruction:
    """What `reconstruct` found.

    original: the image as the model saw it; box: the region of the given image that this is, left, top, right and
    bottom in its pixels, reaching beyond it where there is a border. latent: (1, C, h, w); it and the posterior are on
    the CPU. psnr is in dB, compression in pixel values for each latent value. seconds: of computing.
    seed: of the posterior sample; None if the posterior's mean was decoded. tile: the side in pixels of the tiles it
    was computed in; 0 if whole. bits_per_pixel: of the latent, whose numbers take 16 bits each, or of a codebook an
    index together. cleaned: what was done to a photographed digit before the model saw it, one sentence;
    None if the image was only fitted to the model.
    """

    image: Image.Image
    original: Image.Image
    box: Box
    latent: Tensor
    posterior: DiagonalGaussian
    psnr: float
    ssim: float
    latent_shape: tuple[int, int, int]
    compression: float
    seconds: float
    seed: int | None
    tile: int
    bits_per_pixel: float
    cleaned: str | None = None


@dataclass(frozen=True)
class Draw:
    """A latent from a prior: number `index` of those that `sample` draws with that seed. Without a prior it comes from
    the one that `interpolate` says, or from N(0, I). label, steps: as `sample_latents` has them."""

    seed: int
    index: int = 0
    temperature: float = 1.0
    prior: str | None = None
    label: str | int | None = None
    steps: int | None = None


Endpoint = Draw | int | Tensor | Image.Image  # an integer is a Draw's seed; of an image it is the posterior's mean


@dataclass(frozen=True)
class Generated:
    """pixels: uint8 (n, C, H, W), on the CPU. prior: the one they were drawn from, or whose space was gone through,
    None if none. mode: of an interpolation, as vae.interpolate has it. seconds: of computing. cleaned: what was done to
    photographed digits among the endpoints, one sentence; None if there were none. steps: that each draw took, of a
    diffusion."""

    pixels: Tensor
    seconds: float
    prior: str | None
    mode: str | None = None
    cleaned: str | None = None
    steps: int | None = None


def make_generator(seed: int) -> torch.Generator:
    """A CPU generator, whatever the model's device, so that a seed means the same image everywhere.

    Raises InputError for a seed that is no whole number from 0 to 2**63 - 1.
    """
    return torch.Generator().manual_seed(whole_number("A seed", seed, 0, MAX_SEED))


def draw_seed() -> int:
    """A fresh seed, short enough to be read aloud."""
    return int(torch.randint(0, 1_000_000, (), generator=torch.Generator().manual_seed(time.time_ns() % MAX_SEED)))


def prepare(
    model: AutoEncoder, image: Image.Image, max_side: int | None = None, clean_photo: bool = True
) -> tuple[Image.Image, Box, str | None]:
    """The image as the model is to see it, of its channels and, where that is fixed, of its size; and its box and
    `cleaned`, as in Reconstruction. max_side: where the size is free, a longer side is reduced to so many pixels.
    clean_photo: as `reconstruct` has it."""
    config, given = model.config, image.size
    digit = _digit(model, image, config.sample_size) if clean_photo else None
    if digit is not None:
        return digit.image, digit.box, digit.says
    if not config.fixed_size:
        if max_side and max(given) > max_side:
            image = image.copy()
            image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        return images.as_channels(image, model.in_channels), (0.0, 0.0, float(given[0]), float(given[1])), None
    size, border = config.sample_size, config.border
    image = images.fit(image, size, model.in_channels, border=border)
    if given == image.size:
        return image, (0.0, 0.0, float(size), float(size)), None
    scale = min(given) / (size - 2 * border)  # pixels given for each pixel seen
    left, top = ((side - min(given)) / 2 - border * scale for side in given)
    return image, (left, top, left + size * scale, top + size * scale), None


def _digit(model: AutoEncoder, image: Image.Image, size: int) -> DigitPhoto | None:
    """The image as a model of grey digits knows them, if it is such a model and a digit on paper."""
    share = share_of(model.config.trained_on) if model.in_channels == 1 else None
    return None if share is None else clean_digit(image, size, share * (size - 2 * model.config.border) / size)


@torch.inference_mode()
def reconstruct(
    model: AutoEncoder,
    image: Image.Image,
    sample: bool = False,
    seed: int | None = None,
    *,
    decoder: AutoEncoder | None = None,
    max_side: int | None = None,
    tile: int | None = None,
    progress: Progress | None = None,
    clean_photo: bool = True,
) -> Reconstruction:
    """Encode an image and decode it again, through the posterior's mean or, if `sample`, through one sample of it.

    image: a PIL image, a path, or an array or tensor of one image; it is fitted to the model first
    (`Reconstruction.original` shows how). seed: of the sample; drawn and handed back if left out. The figures compare
    the two images as shown, in 8 bits.
    decoder: another model of the same latent space, to decode what this one encoded. max_side: as `prepare` has it.
    tile: the side in pixels of the tiles a large image is computed in, 0 for never; as the memory needs unless given.
    clean_photo: whether a dark digit on bright paper, as one photographs it, is shown to a model of digits as MNIST has
    its digits (see digit_photo.py); `Reconstruction.cleaned` then says so.
    Raises InputError for what is no image, and for a decoder that takes other latents or gives other images.
    """
    model, report = as_model(model), progress or _silent
    if max_side is not None:
        max_side = whole_number("The longest side", max_side, 1)
    original, box, cleaned = prepare(model, as_image(image), max_side, clean_photo)
    if sample and seed is None:
        seed = draw_seed()
    generator = None if seed is None else make_generator(seed)
    side = tile_for(model, *_padded(model, original), tile)
    report("Encoding", 0, 0)
    x = torch.from_numpy(images.to_array(original).copy())[None]
    with few_threads(model, *x.shape[-2:]):
        start = time.perf_counter()
        posterior = encode(model, x, side, lambda done, total: report("Encoding", done, total)).to("cpu")
        z = posterior.sample(generator) if sample else posterior.mode()
        report("Decoding", 0, 0)
        rebuilt = _decoded_like(x, decoder or model, z if decoder is None else _moved(z, model, decoder), tile, report)
        seconds = time.perf_counter() - start
        return Reconstruction(
            image=images.to_image(rebuilt[0]),
            original=original,
            box=box,
            latent=z,
            posterior=posterior,
            psnr=psnr(x, rebuilt).item(),
            ssim=ssim(x, rebuilt).item(),
            latent_shape=tuple(z.shape[1:]),
            compression=x.numel() / z.numel(),
            seconds=seconds,
            seed=seed if sample else None,
            tile=side,
            bits_per_pixel=model.number_bits * z.numel() / (original.width * original.height),
            cleaned=cleaned,
        )


def _padded(model: AutoEncoder, image: Image.Image) -> tuple[int, int]:
    """Height and width of the image as it is encoded."""
    return tuple(-(-side // model.downscale) * model.downscale for side in (image.height, image.width))


def _moved(z: Tensor, model: AutoEncoder, decoder: AutoEncoder) -> Tensor:
    """One model's latent as another's: what models of one latent space agree on is the scaled latent."""
    if z.shape[1] != decoder.latent_channels:
        raise InputError("The decoder takes other latents than the encoder gives.")
    return latents.unscale(decoder, latents.scale(model, z))


def _decoded_like(x: Tensor, decoder: AutoEncoder, z: Tensor, tile: int | None, report: Progress) -> Tensor:
    """The image (1, C, H, W) uint8 that a latent decodes to, of the size and colours of x, from which it came."""
    rebuilt = decode(decoder, z, x.shape[-2:], tile, lambda done, total: report("Decoding", done, total))
    if rebuilt.shape != x.shape:
        raise InputError("The decoder gives images of another size, or in other colours, than the encoder read.")
    return images.to_uint8(rebuilt).cpu()


def sample_latents(
    model: AutoEncoder,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    prior: str = "normal",
    size: int | None = None,
    batch_size: int = 4096,
    label: str | int | None = None,
    steps: int | None = None,
) -> Iterator[Tensor]:
    """n latents from one of `model.priors`, on the CPU, in batches (at most batch_size, C, h, w).

    The first k of n are the same for every n >= k. temperature scales the standard deviation: 1 is the prior itself,
    below 1 is nearer its centre. size: the side in pixels of the images that they are latents of, where it is not the
    config's sample_size. label: a class of the images that the prior was fitted to, by its name or else its index, to
    draw that one alone; a prior that has classes is then used, unless another than "normal" is named. steps: from 1 to
    64, that a diffusion prior takes for a draw; as it was stored with unless given.
    Raises InputError, before the first is drawn, for n below 1, a temperature outside 0 to 10, a prior or class the
    model lacks, steps of a prior that takes none, or a size that a fitted prior was not fitted at.
    """
    model, n = as_model(model), whole_number("The number of samples", n, 1)
    batch_size = whole_number("The batch size", batch_size, 1)
    temperature = real_number("The temperature", temperature, 0.0, 10.0)
    fitted, index = priors.chosen(model, prior, label, steps)
    noises = _noise(model.latent_shape(size, size), n, make_generator(seed), batch_size)
    return (noise * temperature if fitted is None else fitted(noise, temperature, index) for noise in noises)


def _noise(shape: tuple[int, ...], n: int, generator: torch.Generator, batch_size: int) -> Iterator[Tensor]:
    """n draws from N(0, I), in batches. Drawn in whole groups: torch.randn fills memory 16 numbers at a time, and what
    does not make up 16 comes out otherwise, so that a draw would depend on how many there are."""
    ready = torch.empty(0, *shape)
    for start in range(0, n, batch_size):
        count = min(batch_size, n - start)
        groups = -(-(count - len(ready)) // GROUP)
        ready = torch.cat([ready, *(torch.randn(GROUP, *shape, generator=generator) for _ in range(groups))])
        yield ready[:count]
        ready = ready[count:]


def batch_of(model: AutoEncoder, size: int | None = None) -> int:
    """How many images of that side, the model's own unless given, are decoded at once unless told otherwise."""
    return max(1, min(64, BATCH // (size or model.config.sample_size) ** 2))


@torch.inference_mode()
def sample(
    model: AutoEncoder,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    prior: str = "normal",
    batch_size: int | None = None,
    label: str | int | None = None,
    steps: int | None = None,
) -> Tensor:
    """n new images, (n, C, H, W) float32 in [-1, 1] on the CPU: latents from the prior (see sample_latents), decoded.

    There is no upper limit; `sample_batches` gives them without holding all. batch_size: how many are decoded at once;
    it bounds the memory and does not change the images. label: of one class only, where the model's prior knows them.
    steps: of a diffusion prior.

    >>> import vae
    >>> model = vae.load("mnist-vae-large", device="cpu")
    >>> vae.sample(model, 3, seed=1, label="7").shape  # three sevens
    torch.Size([3, 1, 32, 32])
    """
    found = None
    for start, batch in _counted(sample_batches(model, n, seed, temperature, prior, None, batch_size, label, steps)):
        if found is None:  # filled in place, so that there is never a second copy of all
            found = torch.empty(int(n), *batch.shape[1:])
        found[start : start + len(batch)] = batch
    return found


def sample_batches(
    model: AutoEncoder,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    prior: str = "normal",
    size: int | None = None,
    batch_size: int | None = None,
    label: str | int | None = None,
    steps: int | None = None,
) -> Iterator[Tensor]:
    """What `sample` gives, a batch at a time, in memory for one batch. size: as sample_latents has it.

    Raises InputError as sample_latents does, before the first batch.
    """
    model = as_model(model)
    at_once = batch_of(model, size) if batch_size is None else batch_size
    drawn = sample_latents(model, n, seed, temperature, prior, size, at_once, label, steps)

    def decoded() -> Iterator[Tensor]:
        for z in drawn:
            with torch.inference_mode():
                yield decode(model, z).float().cpu()

    return decoded()


def generate(
    model: AutoEncoder,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    prior: str = "normal",
    size: int | None = None,
    progress: Progress | None = None,
    label: str | int | None = None,
    steps: int | None = None,
) -> Generated:
    """The images of `sample` as pixels, and how long they took."""
    start, report, parts = time.perf_counter(), progress or _silent, []
    for done, batch in _counted(sample_batches(model, n, seed, temperature, prior, size, label=label, steps=steps)):
        parts.append(images.to_uint8(batch))
        report("Decoding", done + len(batch), n)
    used, _ = priors.chosen(as_model(model), prior, label, steps)
    kind, steps = (used.kind, used.steps) if used else ("normal", None)
    return Generated(torch.cat(parts), time.perf_counter() - start, kind, steps=steps)


@torch.inference_mode()
def interpolate(
    model: AutoEncoder,
    endpoints: Sequence[Endpoint],
    steps: int,
    mode: str = "slerp",
    kind: str = "path",
    size: int | None = None,
    progress: Progress | None = None,
    clean_photo: bool = True,
) -> Generated:
    """The images between latents, in one row.

    kind: "path", `steps` from the first endpoint to the second, both included; "loop", `steps` from each to the next
    and back to the first; "grid", `steps` rows of as many, the four endpoints in its corners.
    mode: as vae.interpolate has it; "prior" goes through the best prior of the model that can be inverted, or between
    draws from the diffusion prior through that, along the circle between their noises; draws that name no prior then
    come from the diffusion prior, if there is one, else from the one gone through. size: the side of the images, where
    it is not the model's sample_size. clean_photo: as `reconstruct` has it.
    Raises InputError for another number of endpoints, and as vae.interpolate and sample_latents do.
    """
    model, report = as_model(model), progress or _silent
    if kind not in KINDS:
        raise InputError(f"What to interpolate is one of {', '.join(KINDS)}, not {kind!r}.")
    wanted = {"path": "two endpoints", "grid": "four endpoints", "loop": "two or more endpoints"}[kind]
    if not {"path": len(endpoints) == 2, "grid": len(endpoints) == 4, "loop": len(endpoints) >= 2}[kind]:
        raise InputError(f"A {kind} takes {wanted}, not {len(endpoints)}.")
    prior = priors.for_paths(model, drawn_by_diffusion(endpoints)) if mode == "prior" else None
    drawn_from, way, onwards = prior.kind if prior else "normal", mode, None
    if prior and "diffusion" in model.fitted_priors:  # so that a seed means the same image beside an image
        drawn_from = "diffusion"
    report("Encoding", 0, 0)
    start = time.perf_counter()
    if prior and not prior.invertible:  # its noise is what N(0, I) gives for the same seed
        draws = [_as_draw(endpoint) for endpoint in endpoints]
        prior = onwards = prior.in_steps(next((draw.steps for draw in draws if draw.steps is not None), None))
        endpoints, way = [replace(draw, prior="normal", steps=None) for draw in draws], "slerp"
    ends = [_end_of(model, endpoint, drawn_from, size, clean_photo) for endpoint in endpoints]
    stops, notes = [latent for latent, _ in ends], [note for _, note in ends if note]
    if kind == "path":
        z = interpolation.interpolate(*stops, steps, way, prior)
    elif kind == "grid":
        z = interpolation.corners(stops, steps, steps, way, prior).flatten(0, 1)
    else:
        z = interpolation.loop(stops, steps, way, prior)
    report("Decoding", 0, len(z))
    parts = []
    for done, part in _counted(z.split(batch_of(model, size))):
        parts.append(images.to_uint8(decode(model, onwards(part) if onwards else part)).cpu())
        report("Decoding", done + len(part), len(z))
    seconds, took = time.perf_counter() - start, prior.steps if prior else None
    through, note = prior.kind if prior else None, notes[0] if notes else None
    return Generated(torch.cat(parts), seconds, through, mode, note, took)


def drawn_by_diffusion(endpoints: Sequence[Endpoint]) -> bool:
    """Whether all endpoints are draws that a diffusion prior may make, being told of no other and of no class."""
    return all(
        not isinstance(end, Tensor | Image.Image)
        and _as_draw(end).prior in (None, "diffusion")
        and _as_draw(end).label is None
        for end in endpoints
    )


def _as_draw(endpoint: Draw | int) -> Draw:
    return endpoint if isinstance(endpoint, Draw) else Draw(endpoint)


@torch.inference_mode()
def latent_of(model: AutoEncoder, endpoint: Endpoint, prior: str = "normal", size: int | None = None) -> Tensor:
    """An endpoint's latent, (C, h, w) on the CPU, of an image size x size (the model's sample_size unless given), so
    that any two fit together. prior: of draws that name none. Raises InputError for a latent of another shape."""
    return _end_of(model, endpoint, prior, size, True)[0]


def _end_of(
    model: AutoEncoder, endpoint: Endpoint, prior: str, size: int | None, clean_photo: bool
) -> tuple[Tensor, str | None]:
    """`latent_of`, and what was done to a photographed digit before the model saw it."""
    size = size or model.config.sample_size
    if isinstance(endpoint, Tensor):
        shape = model.latent_shape(size, size)
        if endpoint.numel() != shape[0] * shape[1] * shape[2]:
            raise InputError(
                f"A latent of this model has {' x '.join(map(str, shape))} numbers, not {endpoint.numel()}."
            )
        return endpoint.float().cpu().view(shape), None
    if isinstance(endpoint, Image.Image):
        digit = _digit(model, endpoint, size) if clean_photo else None
        image = digit.image if digit else images.fit(endpoint, size, model.in_channels, border=model.config.border)
        latent = encode(model, torch.from_numpy(images.to_array(image).copy())[None]).mode()[0].float().cpu()
        return latent, digit.says if digit else None
    draw = _as_draw(endpoint)
    name = draw.prior or (prior if draw.label is None else "normal")
    fitted, index = priors.chosen(model, name, draw.label, draw.steps)
    temperature = 1.0 if fitted else draw.temperature
    *_, noise = sample_latents(model, draw.index + 1, draw.seed, temperature, "normal", size)
    if fitted is None:
        return noise[-1], None
    return fitted(noise[-1:], real_number("The temperature", draw.temperature, 0.0, 10.0), index)[0], None


def _counted(batches: Iterator[Tensor] | Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Each batch, and how many images came before it."""
    done = 0
    for batch in batches:
        yield done, batch
        done += len(batch)


def _silent(what: str, done: int, total: int) -> None:
    """A progress that nobody watches."""
