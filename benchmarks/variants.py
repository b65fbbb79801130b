"""What each choice in vae/training/hardware.py, the update as a CUDA graph and the kernels give on a GPU.

    python benchmarks/variants.py            on a GPU: a minute
    python benchmarks/variants.py --quick    the machinery alone, on a CPU

`vae.fit` on random images, everything on; one JSON line for each variant: images a second, the most memory PyTorch
had allocated, and the seconds of the first update, in which kernels are compiled, convolutions tried and the graph
captured. "as it is" is what a user gets; each other line has one thing changed.
"""

import argparse
import gc
import json
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock


def measure(preset: str, side: int, batch: int, steps: int, device: str, patches=(), **changes) -> dict:
    import torch

    from vae.data.image_set import ImageSet
    from vae.training import batches, loop
    from vae.training.config import TrainConfig
    from vae.training.presets import PRESETS

    config = PRESETS[preset]
    model = dict(config.model) | {"sample_size": side}
    channels = 1 if preset.startswith("mnist") else 3
    config = TrainConfig(**config.to_dict() | {"model": model, "batch_size": batch, "epochs": 8} | changes)
    marks = []

    def pictures(_, split="train", *__, **___):
        data = ImageSet("random", (channels, side, side), None, None)
        count = (steps + 20) * batch if split == "train" else batch
        data.images = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8)
        return data

    class Timed(loop.Trainer):
        def update(self):
            super().update()
            if self.step in (0, 9, 9 + steps):
                if device == "cuda":
                    torch.cuda.synchronize()
                marks.append(time.perf_counter())
            if self.step == 9 + steps:
                self.writer.request_stop()

        def preview(self):
            marks.append(time.perf_counter()) if not marks else None

    if device == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with ExitStack() as held:
        for patch in (mock.patch.object(batches, "load_data", pictures), mock.patch.object(loop, "Trainer", Timed)):
            held.enter_context(patch)
        for target, name, value in patches:
            held.enter_context(mock.patch.object(target, name, value))
        folder = held.enter_context(tempfile.TemporaryDirectory())
        loop.fit(config, run=Path(folder) / "run", device=device)
    begun, first, warm, done = marks[:4]
    found = {"images_per_second": steps * batch / (done - warm), "first_update_seconds": first - begun}
    if device == "cuda":
        found["gib"] = torch.cuda.max_memory_allocated() / 2**30
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny pictures on the CPU")
    options = parser.parse_args()
    import torch

    from vae.models import fused_residual
    from vae.training import cuda_graph, preparation, update

    device = "cuda" if torch.cuda.is_available() and not options.quick else "cpu"

    @contextmanager
    def untuned(_):
        yield

    layout = lambda kind: (preparation, "memory_format", lambda *_: kind)  # noqa: E731
    no_graph = (preparation, "why_not", lambda *_: "left out")
    no_kernels = (fused_residual, "is_available", lambda: False)
    no_tuning = [(module, "tuned", untuned) for module in (update, cuda_graph)]
    lined = torch.channels_last
    mnist, small, sd = ("mnist-vae", 32), ("sd-small", 64), ("sd", 256)
    variants = [
        (mnist, 128, 600, "as it is", [], {}),
        (mnist, 128, 600, "no kernels, contiguous", [no_kernels], {}),
        (mnist, 128, 600, "no kernels, channels last", [no_kernels, layout(lined)], {}),
        (mnist, 128, 600, "convolutions not tried out", no_tuning, {}),
        (mnist, 128, 600, "bf16", [], {"precision": "bf16"}),
        (mnist, 128, 200, "no graph", [no_graph], {}),
        (mnist, 64, 600, "as it is", [], {}),
        (mnist, 512, 300, "as it is", [], {}),
        (small, 8, 100, "as it is", [], {}),
        (small, 32, 100, "as it is", [], {}),
        (small, 128, 50, "as it is", [], {}),
        (small, 8, 50, "no graph", [no_graph], {}),
        (small, 32, 50, "no kernels, contiguous", [no_kernels], {}),
        (small, 32, 100, "fp32", [], {"precision": "fp32"}),
        (sd, 16, 12, "as it is", [], {}),
        (sd, 16, 12, "convolutions not tried out", no_tuning, {}),
        (sd, 16, 12, "no kernels, contiguous", [no_kernels], {}),
    ]
    if options.quick:
        variants = [(network, 2, 2, *rest) for network, _, _, *rest in (*variants[:6], variants[13])]
    failed = False
    for (preset, side), batch, steps, what, patches, changes in variants:
        row = {"preset": preset, "side": 16 if options.quick else side, "batch": batch, "variant": what}
        try:
            row |= measure(preset, row["side"], batch, steps, device, patches, **changes)
        except Exception as error:  # the others are worth having without this one
            row["error"], failed = f"{type(error).__name__}: {error}"[:500], True
        print(json.dumps(row), flush=True)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
