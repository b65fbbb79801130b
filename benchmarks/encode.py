"""How many images a second `vae encode` makes of a folder, against the model alone on images that are in memory.

    python benchmarks/encode.py                                      256 images of 64 pixels through dogs-vae
    python benchmarks/encode.py --model stabilityai/sd-vae-ft-mse --device cuda --size 256 --images 4096

Both take turns in one process and compute the same batches in the model's own number format. On a busy machine compare
processor time, that of the thread in which the model computes: files are decoded in others meanwhile, on spare cores.
The folder holds JPEGs of twice the size; the latents are written to a temporary folder, three parts in float32.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="dogs-vae", help="as for vae.load")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, help="pixels; the model's own unless given")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tests the machinery only")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.model, options.images, options.turns = "mnist-vae", 20, 1

    import numpy as np
    import torch
    from PIL import Image

    import vae
    from vae import tiling
    from vae.latents.encoding import encode_set, images_at_once

    model = vae.load(options.model, device=options.device)
    size = options.size or model.config.sample_size
    count = images_at_once(model, None)(size, size)
    chance = np.random.default_rng(0)
    alone, whole, busy = [], [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        for i in range(options.images):
            coarse = Image.fromarray(chance.integers(0, 255, (9, 9, 3), np.uint8))
            coarse.resize((2 * size, 2 * size), Image.Resampling.BICUBIC).save(folder / f"{i:06d}.jpg", quality=90)
        held = vae.load_data(folder, "all", size, model.in_channels, model.config.border)
        tiling.encode(model, held.images[:count])  # the first time kernels are loaded
        for turn in range(options.turns):
            start, spent = time.perf_counter(), time.thread_time()
            for part in held.images.split(count):
                posterior = tiling.encode(model, part)
            posterior.mean.cpu()  # which waits for a GPU
            alone.append(options.images / (time.perf_counter() - start))
            own, start, spent = time.thread_time() - spent, time.perf_counter(), time.thread_time()
            data = vae.load_data(folder, "all", size, model.in_channels, model.config.border, limit_bytes=0)
            encode_set(model, data, Path(place) / f"latents-{turn}", options.model)
            whole.append(options.images / (time.perf_counter() - start))
            busy.append(own / (time.thread_time() - spent))
    ratio = median(each / own for each, own in zip(whole, alone, strict=True))
    found = {"model": options.model, "size": size, "batch": count, "threads": torch.get_num_threads()}
    found |= {"alone": median(alone), "encode": median(whole), "ratio": ratio, "cpu_ratio": median(busy)}
    if options.json:
        return print(json.dumps(found))
    print(f"{options.model} at {size} pixels in batches of {count}, {found['threads']} threads, images a second:")
    print(f"the model alone {found['alone']:.1f}, vae encode {found['encode']:.1f}: {ratio:.2f} of it")
    print(f"of the processor time of vae encode's main thread the model alone takes {found['cpu_ratio']:.2f}")


if __name__ == "__main__":
    main()
