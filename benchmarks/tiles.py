"""What tiles cost and what they change.

    python benchmarks/tiles.py                                1024 and 4096 pixels through Stable Diffusion's network
                                                              with random weights: about 25 minutes on two cores
    python benchmarks/tiles.py --model path/to/taesd          the same through another model
    python benchmarks/tiles.py --device cuda --sizes 4096 --tile 0    on a GPU, never in tiles
    python benchmarks/tiles.py --model path/to/taesd --photographs path/to/kodak --tile 256
                                                              photographs whole and in small tiles

Sizes: seconds and seconds of processor time for a megapixel (2^20 pixels), and the most memory held above the model and
its input. On a busy machine compare processor time. Photographs: PSNR of the reconstruction computed whole and in
tiles, and the mean gradient across the lines where tiles begin, end and meet, over that of the same lines in the
reconstruction computed whole.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from reconstruct import Peak, settle

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def opened(name: str | None, device: str, network: str):
    import torch

    import vae
    from vae.models import KL_PRESETS, build

    if name:
        return vae.load(name, device=device, dtype="auto")
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        vae.save(build(KL_PRESETS[network]), Path(folder) / "model")
        return vae.load(Path(folder) / "model", device=device, dtype="auto")


def of_size(model, size: int, tile: int | None) -> dict:
    import torch

    from vae import tiling

    coarse = torch.rand(1, model.in_channels, size // 16, size // 16) * 2 - 1
    x = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    chosen = tiling.tile_for(model, size, size) if tile is None else tile
    found = {"size": size, "tile": chosen or 0}
    device = model.device.type
    x = x.to(device)
    if device == "cuda":  # the first time kernels are loaded
        tiling.decode(model, tiling.encode(model, x[..., :512, :512], 256).mode(), tile=256)

    def timed(step: str, job):
        settle(device)
        start, busy = time.perf_counter(), time.process_time()
        with Peak(device) as peak:
            result = job()
            settle(device)
        found[step] = {
            "seconds_per_megapixel": (time.perf_counter() - start) * 2**20 / size**2,
            "cpu_per_megapixel": (time.process_time() - busy) * 2**20 / size**2,
            "seconds": time.perf_counter() - start,
            "gigabytes": peak.bytes / 1e9,
        }
        return result

    z = timed("encode", lambda: tiling.encode(model, x, tile)).mode()
    timed("decode", lambda: tiling.decode(model, z, (size, size), tile))
    return found


def of_photograph(model, path: Path, tile: int) -> dict:
    from vae import tiling
    from vae.images import open_image, to_tensor
    from vae.metrics import psnr

    x = to_tensor(open_image(path))
    size = tuple(x.shape[-2:])
    whole, tiled = (
        tiling.decode(model, tiling.encode(model, x, side).mode(), size, side).float() for side in (0, tile)
    )
    seams = []
    for axis, other in ((-2, -1), (-1, -2)):
        factor = model.downscale
        shared = min(tiling.OVERLAP, tile // 2) // factor
        later = tiling.spans(-(-x.shape[axis] // factor), tile // factor, shared)[1:]
        lines = [factor * at - 1 for s in later for at in (s.start, s.start + s.before // 2, s.start + s.before)]
        if lines:
            seams.append([y.diff(dim=axis).abs().mean(dim=(0, 1, other))[lines].mean().item() for y in (tiled, whole)])
    return {
        "photograph": path.name,
        "whole": psnr(x, whole).item(),
        "tiled": psnr(x, tiled).item(),
        "gradient": sum(a for a, _ in seams) / sum(b for _, b in seams),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="as for vae.load; by default Stable Diffusion's network with random weights")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--tile", type=int, help="pixels; by default what the library would take; 0 never")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--photographs", type=Path, help="a folder of pictures, in the place of sizes")
    parser.add_argument("--quick", action="store_true", help="a narrow network: tests the machinery only")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import torch

    model = opened(options.model, options.device, "sd-small" if options.quick else "sd")
    with torch.inference_mode():
        if options.photographs:
            paths = sorted(path for path in options.photographs.iterdir() if path.suffix in (".png", ".jpg"))
            rows = [of_photograph(model, path, options.tile or 256) for path in paths]
        else:
            rows = [of_size(model, size, options.tile) for size in options.sizes]
    if options.json:
        return print(json.dumps(rows, indent=1))
    for row in rows:
        if options.photographs:
            print(
                f"{row['photograph']:24} {row['whole']:.2f} dB whole, {row['tiled']:.2f} dB in tiles; "
                f"gradient across borders {row['gradient']:.3f} times"
            )
            continue
        for step in ("encode", "decode"):
            figures = row[step]
            print(
                f"{row['size']} {step}, tiles of {row['tile'] or 'the whole'}: "
                f"{figures['seconds_per_megapixel']:.2f} s/MP, {figures['cpu_per_megapixel']:.2f} s/MP of processor "
                f"time, {figures['gigabytes']:.2f} GB"
            )
    if options.photographs:
        mean = {key: sum(row[key] for row in rows) / len(rows) for key in ("whole", "tiled", "gradient")}
        print(f"mean: {mean['whole']:.2f} dB whole, {mean['tiled']:.2f} dB in tiles, gradient {mean['gradient']:.3f}")


if __name__ == "__main__":
    main()
