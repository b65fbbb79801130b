"""What `reconstruct` does with image files and folders of them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vae.cli.terminal import phases, remark
from vae.data.folders import list_images
from vae.data.image_set import WORKERS
from vae.data.source import listed
from vae.errors import InputError
from vae.evaluation.reconstruct_files import reconstruct_files
from vae.evaluation.unusual import if_measured
from vae.files import replacing, writing
from vae.images import open_image, png_bytes
from vae.inference import reconstruct
from vae.models import AutoEncoder

# Figures that a reconstruction has, of one image or of many.
_FIGURES = ("psnr", "ssim", "latent_shape", "compression", "seconds", "seed", "tile", "cleaned")


def named(given: list[Path]) -> list[Path]:
    """The files, and those in the folders, in order. Raises InputError if one that is named itself is no image: a bad
    one among several leaves nothing half-done."""
    if len(given) > 1:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(_check, given))
    return [path for each in given for path in (list_images(each) if each.is_dir() else [each])]


def _check(path: Path) -> None:
    if not path.is_dir():
        open_image(path)


def rebuilt_file(model: AutoEncoder, path: Path, target: Path, options: dict) -> dict:
    """Writes one image's reconstruction; returns its figures. options: of vae.reconstruct."""
    with phases() as report:
        image = open_image(path)
        result = reconstruct(model, image, progress=report, **options)
        _write(target, result.image)
        unusual = if_measured(model, image, options["clean_photo"])
    return _facts(path, target, result, unusual)


def rebuilt_files(model: AutoEncoder, paths: list[Path], folder: Path, options: dict) -> list[dict]:
    """Writes the images' reconstructions into the folder; returns their figures. Files that are no images are left out,
    and named on stderr. Raises InputError if all are."""
    refused: dict[int, InputError] = {}
    targets, facts = _targets(paths, folder), []
    with phases() as report:
        done = reconstruct_files(model, paths, lambda i, image: _write(targets[i], image, False), refused, **options)
        for result in done:
            facts.append(_facts(result.path, targets[result.number], result, result.unusual))
            report("images", len(facts) + len(refused), len(paths))
    if len(paths) == len(refused):
        raise InputError(f"None of the {len(paths):,} images can be used. {refused[0]}")
    if refused:
        were = "image could not be used and was" if len(refused) == 1 else "images could not be used and were"
        names = listed([str(paths[i]) for i in sorted(refused)])
        remark([f"{len(refused):,} {were} left out: {names}. {refused[min(refused)]}"])
    return facts


def _targets(paths: list[Path], folder: Path) -> list[Path]:
    """A .png file in the folder for each, with a number where another of the same name came before."""
    targets, used = [], {}
    for path in paths:
        name = path.stem
        while name in used:
            used[path.stem] += 1
            name = f"{path.stem}-{used[path.stem]}"
        used[name] = 1
        targets.append(folder / f"{name}.png")
    return targets


def _write(target: Path, image, durable: bool = True) -> None:
    """durable: as `replacing` has it. Each of a folder's images is not waited for: they can be made again."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, durable) as part:
            part.write_bytes(png_bytes(image, quick=True))


def _facts(path: Path, target: Path, result, unusual) -> dict:
    figures = {name: getattr(result, name) for name in _FIGURES} | {"latent_shape": list(result.latent_shape)}
    return {"image": str(path), "output": str(target), **figures, "unusual": unusual and unusual.summary()}
