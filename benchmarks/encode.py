"""How many images a second `vae encode` makes of a folder, against the model alone on images that are in memory.

    python benchmarks/encode.py                                      1024 images of 64 pixels through dogs-vae
    python benchmarks/encode.py --model sd-small --size 256 --images 48
    python benchmarks/encode.py --model stabilityai/sd-vae-ft-mse --device cuda --size 256 --images 4096

Both take turns in one process and compute the same batches in the model's own number format. The folder holds JPEGs of
twice the size; the latents are written to a temporary folder, three parts in float32. All that a folder takes is in
vae encode's seconds: the list of its files, the look at some of them, the hash of the weights, the last shard; with few
images these weigh.

On a CPU the two need the same cores. So the processor's time is printed, too: of the model alone, and of reading alone,
by one thread, each for an image. Where nothing ever waits and nothing else is to be done, the share that is left to the
model is the one to the sum of both: the bound. vae encode may come above it, since cores that would wait for a batch's
last image have others to read.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="dogs-vae", help="a preset of Stable Diffusion's network, or what vae.load takes"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, help="pixels; the model's own unless given")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tests the machinery only")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.model, options.images, options.turns = "mnist-vae", 20, 1

    from vae.threads import wait_asleep

    wait_asleep()
    import numpy as np
    import torch
    from PIL import Image

    import vae
    from vae import tiling
    from vae.latents.encoding import encode_set, images_at_once
    from vae.models import KL_PRESETS, build

    chance = np.random.default_rng(0)
    alone, whole = [], []
    with tempfile.TemporaryDirectory() as place:
        name, folder = options.model, Path(place) / "images"
        if name in KL_PRESETS:
            torch.manual_seed(0)
            name = Path(place) / "model"
            vae.save(build(KL_PRESETS[options.model]), name)
        model = vae.load(name, device=options.device)
        size = options.size or model.config.sample_size
        count = images_at_once(model, None)(size, size)
        folder.mkdir()
        for i in range(options.images):
            coarse = Image.fromarray(chance.integers(0, 255, (9, 9, 3), np.uint8))
            coarse.resize((2 * size, 2 * size), Image.Resampling.BICUBIC).save(folder / f"{i:06d}.jpg", quality=90)
        arguments = folder, "all", size, model.in_channels, model.config.border
        held, read = vae.load_data(*arguments), vae.load_data(*arguments, limit_bytes=0)
        tiling.encode(model, held.images[:count])  # the first time kernels are loaded

        def of_model() -> None:
            for part in held.images.split(count):
                posterior = tiling.encode(model, part)
            posterior.mean.cpu()  # which waits for a GPU

        def of_folder() -> None:
            data = vae.load_data(*arguments, limit_bytes=0)
            encode_set(model, data, Path(place) / f"latents-{len(whole)}", options.model)

        for _ in range(options.turns):
            alone.append(timed(of_model))
            whole.append(timed(of_folder))
        some = range(min(options.images, 256))
        reading = min(timed(lambda: [read.read(i) for i in some])[1] for _ in range(3)) / len(some)
    rates = [[options.images / seconds for seconds, _ in found] for found in (alone, whole)]
    cpu, cpu_encode = (median(spent for _, spent in found) / options.images for found in (alone, whole))
    found = {"model": options.model, "size": size, "batch": count, "threads": torch.get_num_threads()}
    found |= {"alone": median(rates[0]), "encode": median(rates[1])}
    found["ratio"] = median(each / own for own, each in zip(*rates, strict=True))
    if model.device.type == "cpu":
        found |= {"cpu_model": cpu, "cpu_reading": reading, "cpu_encode": cpu_encode, "bound": cpu / (cpu + reading)}
    if options.json:
        return print(json.dumps(found))
    print(f"{options.model} at {size} pixels in batches of {count}, {found['threads']} threads, images a second:")
    print(f"the model alone {found['alone']:.1f}, vae encode {found['encode']:.1f}: {found['ratio']:.2f} of it")
    if "bound" in found:
        print(
            f"of a core the model alone takes {cpu * 1e3:.2f} ms an image, reading {reading * 1e3:.2f} ms, which "
            f"leaves {found['bound']:.2f} to the model; vae encode takes {cpu_encode * 1e3:.2f} ms"
        )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that it took, and of all cores' time in this process."""
    start, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - spent


if __name__ == "__main__":
    main()
