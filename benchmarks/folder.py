"""A folder of images reconstructed, beside the model alone on images that lie in memory already.

    python benchmarks/folder.py --model sd-small --side 256 --images 32
    python benchmarks/folder.py --model mnist-vae --side 32 --images 1024
    python benchmarks/folder.py --model sd --side 512 --images 256 --device cuda

Three take turns in one process; a ratio is the median over the rounds of images a second to the model's own within a
round. JPEG files are read, those of scikit-learn's digits as PNG files by a model of grey images, and PNG files written
in a temporary folder.

  model     encoding and decoding in batches as large as the folder's, one after the other, nothing else; twice where
            how unusual an image is has to be told at another size. On a CPU all threads share a batch, or an image of
            128 and more pixels
  folder    `vae reconstruct MODEL FOLDER`, without the start: vae.evaluation.reconstruct_files. On a CPU each thread
            has a batch of its own, so that with large images it is faster than the model alone
  one by one    each file opened, reconstructed by vae.reconstruct and saved before the next is opened

On a CPU the processor's time for an image is printed, too, of all threads together: what the folder takes beyond the
model is reading, measuring and writing, and bounds the ratio of a small model.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def photographs(folder: Path, count: int, sides: list[int]) -> list[Path]:
    """JPEG files as large as photographs of those sides are, in turns."""
    import torch
    from torch.nn.functional import interpolate

    from vae.images import to_image

    generator, paths = torch.Generator().manual_seed(0), []
    for i in range(count):
        side = sides[i % len(sides)]
        x = sum(
            interpolate(torch.randn(1, 3, n, n, generator=generator), (side, side), mode="bicubic") / n**0.5
            for n in (4, 16, max(2, side // 4))
        )
        paths.append(folder / f"{i:05}.jpg")
        to_image((x[0] / 2).clamp(-1, 1)).save(paths[-1], quality=90)
    return paths


def digits(folder: Path, count: int, side: int) -> list[Path]:
    """PNG files of scikit-learn's handwritten digits, in turns."""
    import vae
    from vae.images import to_image

    held = vae.load_data("digits", "all", side, 1).images
    paths = [folder / f"{i:05}.png" for i in range(count)]
    for i, path in enumerate(paths):
        to_image(held[i % len(held)]).save(path)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="sd-small", help="a preset of Stable Diffusion's network, or what vae.load takes"
    )
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument(
        "--side", type=int, nargs="+", default=[256], help="of the images in pixels; several take turns"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="few and small images: tests the machinery only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.quick:
        options.images, options.side, options.rounds = 6, [32, 48], 1

    from vae.threads import wait_asleep

    wait_asleep()
    import torch

    import vae
    from vae.data.size_batches import size_batches
    from vae.evaluation.reconstruct_files import Reconstructing, reconstruct_files
    from vae.images import png_bytes
    from vae.models import KL_PRESETS, build
    from vae.tiling import decode, encode

    if options.model in KL_PRESETS:
        torch.manual_seed(0)
        dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
        model = build(KL_PRESETS[options.model]).eval().requires_grad_(False).to(options.device, dtype)
    else:
        model = vae.load(options.model, device=options.device, dtype="auto")
    with tempfile.TemporaryDirectory() as place:
        folder, work = Path(place), Reconstructing(model)
        if model.in_channels == 1:
            paths = digits(folder, options.images, options.side[0])
        else:
            paths = photographs(folder, options.images, options.side)
        batches = list(size_batches(paths, work.read, work.most, {}))
        (folder / "out").mkdir()
        targets = [folder / "out" / f"{path.stem}.png" for path in paths]

        def keep(number, image):
            targets[number].write_bytes(png_bytes(image, quick=True))

        def all_files():
            assert len(list(reconstruct_files(model, paths, keep, {}))) == len(paths)

        def one_by_one():
            for i, path in enumerate(paths):
                keep(i, vae.reconstruct(model, path).image)

        @torch.inference_mode()
        def alone():
            for batch in batches:
                tested = [seen.tested for seen in batch.about if seen.tested is not None]
                for pixels in (batch.pixels, *([torch.cat(tested)] if tested else [])):
                    decode(model, encode(model, pixels.to(model.device)).mode())
            if model.device.type == "cuda":
                torch.cuda.synchronize()

        works = {"model": alone, "folder": all_files, "one by one": one_by_one}
        for do in works.values():
            do()
        rates: dict[str, list[float]] = {name: [] for name in works}
        spent: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(options.rounds):
            for name, do in works.items():
                start, cpu = time.perf_counter(), time.process_time()
                do()
                rates[name].append(options.images / (time.perf_counter() - start))
                spent[name].append((time.process_time() - cpu) / options.images)
    report = {
        name: {
            "images_per_second": statistics.median(found),
            "of_the_model": statistics.median(a / b for a, b in zip(found, rates["model"], strict=True)),
            "cpu_seconds": statistics.median(spent[name]),
        }
        for name, found in rates.items()
    }
    report["folder"]["batch"] = len(batches[0])
    if options.json:
        print(json.dumps(report))
        return
    for name, row in report.items():
        print(
            f"{name:<12}{row['images_per_second']:10.2f} images a second{row['of_the_model']:8.2f} of the model's own"
            f"{row['cpu_seconds'] * 1e3:10.2f} ms of a core for each"
        )


if __name__ == "__main__":
    main()
