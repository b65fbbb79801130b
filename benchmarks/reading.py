"""How fast images are read for a training, and how long one waits for them.

    python benchmarks/reading.py                                 a folder of JPEGs, and litdata's shards on the disk
    python benchmarks/reading.py --stored 512 --batch 16         from larger ones
    python benchmarks/reading.py --train sd --device cuda        and a training on them

No peer. read: images a second in a training's order, batch by batch, and for each second of a core's time; waits: the
share of a training's time in which it has nothing to compute with, from the tenth update on.
"""

import argparse
import json
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from folder import photographs

WARM = 10  # updates


def shards(folder: Path, paths: list[Path]) -> Path:
    from litdata import Jpeg
    from litdata.streaming.writer import BinaryWriter

    folder.mkdir()
    writer = BinaryWriter(str(folder), chunk_bytes="64MB")
    for i, path in enumerate(paths):
        writer[i] = (Jpeg(path=str(path)), 0)
    writer.done()
    writer.merge()
    return folder


def read(place: Path, size: int, batch: int, seconds: float) -> dict:
    import torch

    import vae

    data = vae.load_data(place, "all", size=size, channels=3, limit_bytes=0)
    batches = data.batches(part for _ in repeat(None) for part in torch.randperm(len(data)).split(batch))
    next(batches)
    count, start, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        count += len(next(batches))
    spent, busy = time.perf_counter() - start, time.process_time() - busy
    batches.close()
    return {"images_per_second": count / spent, "per_core_second": count / busy}


def train(place: Path, name: str, size: int, batch: int, device: str, steps: int) -> dict:
    """waits: while the next batch is asked for nothing else is. What a GPU was told to compute before, it may still be
    computing then: it starves for no more than this."""
    from functools import partial

    import vae
    from vae.training import batches
    from vae.training.presets import preset

    waited, times, dealt = [], [], batches.TrainingImages.batches

    def timed(self, *arguments):
        coming = dealt(self, *arguments)
        while True:
            asked = time.perf_counter()
            x = next(coming, None)
            if x is None:
                return
            waited.append(time.perf_counter() - asked)
            yield x

    batches.TrainingImages.batches = timed
    batches.load_data = partial(vae.load_data, limit_bytes=0)
    few = {"size": size, "batch_size": batch, "steps": steps, "val_data": str(place / "few"), "map_and_priors": False}
    config = preset(name, device, data=str(place / "all"), compile="off", **few)
    with tempfile.TemporaryDirectory() as runs:
        note = lambda event: times.append(time.perf_counter()) if event.name == "step" else None  # noqa: E731
        vae.fit(config, Path(runs, "run"), device=device, callbacks=note)
    spent = times[-1] - times[WARM - 1]
    return {"images_per_second": (steps - WARM) * batch / spent, "waits": sum(waited[WARM:]) / spent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--stored", type=int, default=256, help="pixels of a stored image's side")
    parser.add_argument("--size", type=int, default=256, help="pixels of the side that is trained on")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0, help="of reading, each")
    parser.add_argument("--train", help="a preset to train")
    parser.add_argument("--steps", type=int, default=100, help="updates of that training")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="few and small images: tests the machinery only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.quick:
        options.images, options.stored, options.size, options.batch, options.seconds = 12, 32, 32, 4, 0.2
        options.train, options.steps = "sd-small", WARM + 2
    report = {}
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        for folder, count in (("all", options.images), ("few", 8)):
            (place / folder).mkdir()
            photographs(place / folder, count, [options.stored])
        report["folder"] = read(place / "all", options.size, options.batch, options.seconds)
        if find_spec("litdata"):
            shards(place / "shards", sorted((place / "all").iterdir()))
            report["litdata"] = read(place / "shards", options.size, options.batch, options.seconds)
        if options.train:
            report["training"] = train(place, options.train, options.size, options.batch, options.device, options.steps)
    if options.json:
        print(json.dumps(report))
        return
    for what, found in report.items():
        print(f"{what:<10}" + "   ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
