"""What fine-tuning their decoders alone, with perceptual and adversarial terms, makes of the bundled models of dogs.

    python benchmarks/finetune_dogs.py --data dogs128.zip --out results                all, five minutes, side by side
    python benchmarks/finetune_dogs.py --data dogs128.zip --out results --only 16-a    one setting
    python benchmarks/finetune_dogs.py --data dogs128.zip --out results --quick        to see that it works

Each setting of SETTINGS is trained in a process of its own. At a quarter, half, three quarters and the end of its time
its averaged weights, rounded to 16 bits as they are kept, reconstruct the held-out photographs through the posterior's
mean; a line of JSON says their PSNR, their Fréchet distance to the photographs and the probability of a dog, before and
after. `--out` receives the lines (results.jsonl), of each model the best checkpoints that lose no more than half a
decibel, and for each of these an image: photographs, the model as it is, and fine-tuned.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from dataclasses import replace
from pathlib import Path

COMMON = {
    "preset": "sd-small",
    "freeze": "encoder",
    "test_size": 0.05,
    "reconstruction": "l1",
    "beta": 0.0,
    "batch_size": 32,
    "learning_rate": 4e-4,
    "ema_images": 5_000,
    "adversarial_start": 5_000,
}
SETTINGS = {
    "16-a": {"init": "dogs-vae-16", "perceptual": 0.15},
    "16-b": {"init": "dogs-vae-16", "perceptual": 0.25, "adversarial": 0.03},
    "16-c": {"init": "dogs-vae-16", "perceptual": 0.4},
    "4-a": {"init": "dogs-vae", "perceptual": 0.2},
    "4-b": {"init": "dogs-vae", "perceptual": 0.35, "adversarial": 0.03},
    "4-c": {"init": "dogs-vae", "perceptual": 0.6},
}
QUICK = {"batch_size": 4, "adversarial_start": 0, "test_size": 0.005}
POINTS = (0.25, 0.5, 0.75)
CALIBRATION = 20.0  # seconds in which the speed is measured that says how many epochs there is time for
DECIBELS = 0.5  # that a checkpoint may lose to be kept
KEPT, SHOWN = 2, 16  # checkpoints of each model, photographs of an image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder or .zip of the photographs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5.0, help="of each setting, all told")
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", choices=SETTINGS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        train(options.one, options.data, options.out, options.minutes, options.quick)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        data, work = options.data, Path(place) / "work"
        if data.suffix == ".zip":
            with zipfile.ZipFile(data) as archive:
                archive.extractall(place)
            data = next(path for path in Path(place).iterdir() if path.is_dir())
        command = [sys.executable, __file__, "--data", data, "--out", work, "--minutes", options.minutes]
        command += ["--quick"] if options.quick else []
        children = [subprocess.Popen([*map(str, command), "--one", name]) for name in options.only]
        for child in children:
            child.wait()
        collect(work, options.out)


def train(name: str, data: Path, work: Path, minutes: float, quick: bool) -> None:
    """One setting; its figures go to standard output and, with its best checkpoint, into work / name."""
    import torch

    import vae
    from vae.data.sets import load_data
    from vae.training.presets import preset as recipe

    torch.set_num_threads(2)
    folder = work / name
    folder.mkdir(parents=True)
    start, settings = time.monotonic(), COMMON | SETTINGS[name] | (QUICK if quick else {})
    config = recipe(settings.pop("preset"), data=str(data), **settings)
    size = vae.load(config.init, device="cpu").config.sample_size
    photographs = load_data(data, "test", size=size, channels=3, test_size=config.test_size).images
    judge = Judge(photographs[:24] if quick else photographs)
    before = judge.figures(vae.load(config.init))
    say({"setting": name, "model": config.init, "device": str(judge.device), "before": before}, folder)

    reached: list[tuple[float, int]] = []
    calibration = min(CALIBRATION, 6.0 * minutes)
    vae.fit(
        replace(config, epochs=1000),
        folder / "calibration",
        max_minutes=calibration / 60,
        on_progress=lambda state: reached.append((time.monotonic(), state["step"])),
    )
    (t0, s0), (t1, s1) = reached[len(reached) // 2], reached[-1]  # the first updates are slower
    rate = (s1 - s0) / (t1 - t0) * config.batch_size if s1 > s0 else 0.0  # images a second
    left = max(10.0, 60.0 * minutes - (time.monotonic() - start) - (len(POINTS) + 1) * judge.seconds)
    images = len(load_data(data, "train", size=size, channels=3, test_size=config.test_size))
    epochs = max(1, int(0.95 * left * rate / images))
    run, points, best = vae.Run(folder / "run"), list(POINTS), None

    def measure() -> None:
        nonlocal best
        checkpoint, here = run.model_folder(), folder / "measured"
        vae.save(vae.load(checkpoint, device="cpu").half(), here)
        figures = judge.figures(vae.load(here))
        step = int(checkpoint.name.split("-")[1])
        entry = {"setting": name, "model": config.init, "step": step, "images": step * config.batch_size, **figures}
        entry |= {"epochs": epochs, "minutes": round((time.monotonic() - start) / 60, 2), "before": before}
        say(entry, folder)
        if figures["psnr"] >= before["psnr"] - DECIBELS and (best is None or figures["frechet"] < best):
            best = figures["frechet"]
            shutil.copytree(here, folder / "best", dirs_exist_ok=True)
            (folder / "best.json").write_text(json.dumps(entry))
            judge.show(config.init, folder / "best", folder / "shown.png")

    def watch(state: dict) -> None:
        if points and state["step"] >= points[0] * state["steps"] and run.model_folder() is not None:
            points.pop(0)
            try:
                measure()
            except Exception:  # a figure on the way is not worth the training
                traceback.print_exc()

    try:
        vae.fit(replace(config, epochs=epochs), run.folder, max_minutes=left / 60, on_progress=watch)
    except vae.InputError as error:  # the discriminator won: what was measured before stays
        say({"setting": name, "model": config.init, "stopped": str(error)}, folder)
    measure()


class Judge:
    """Figures of models on held-out photographs, uint8 (N, 3, size, size)."""

    def __init__(self, photographs):
        from vae.device import pick_device
        from vae.evaluation.frechet import Moments
        from vae.evaluation.perceptual import judged
        from vae.perceptual import imagenet_features

        self.device = pick_device(None)
        self.photographs = photographs
        self.network = imagenet_features(self.device)
        self.moments = Moments(judged(self.network, photographs)[0])
        self.seconds = 0.0

    def figures(self, model) -> dict:
        from vae import images
        from vae.evaluation.frechet import Moments, frechet
        from vae.evaluation.perceptual import class_probability, judged
        from vae.metrics import psnr

        start = time.monotonic()
        rebuilt = self.rebuilt(model, self.photographs)
        features, probabilities = judged(self.network, rebuilt)
        decibels = psnr(images.to_float(self.photographs), rebuilt).mean().item()
        figures = {
            "psnr": round(decibels, 3),
            "frechet": round(frechet(Moments(features), self.moments), 2),
            "dog": round(class_probability(probabilities), 4),
        }
        self.seconds = time.monotonic() - start
        return figures

    @staticmethod
    def rebuilt(model, photographs):
        """Through the posterior's mean, on the CPU."""
        import torch

        from vae import images

        with torch.inference_mode():
            batches = (images.to_float(part).to(model.device) for part in photographs.split(64))
            return torch.cat([model.decode(model.encode(x).mode()).cpu() for x in batches])

    def show(self, before: str, after: Path, path: Path) -> None:
        import torch

        import vae
        from vae import images

        chosen = self.photographs[torch.arange(min(SHOWN, len(self.photographs))) * len(self.photographs) // SHOWN]
        rows = [images.to_float(chosen), *(self.rebuilt(vae.load(model), chosen) for model in (before, after))]
        sheet = images.grid(torch.cat(rows).clamp(-1.0, 1.0), columns=len(chosen))
        path.write_bytes(images.png_bytes(sheet))


def collect(work: Path, out: Path) -> None:
    """Lines, the best checkpoints of each model and their images, from where the settings left them."""
    lines = [line for path in sorted(work.glob("*/results.jsonl")) for line in path.read_text().splitlines()]
    (out / "results.jsonl").write_text("".join(f"{line}\n" for line in lines))
    found = [json.loads(path.read_text()) for path in work.glob("*/best.json")]
    for model in {entry["model"] for entry in found}:
        of_model = sorted((e for e in found if e["model"] == model), key=lambda entry: entry["frechet"])
        for entry in of_model[:KEPT]:
            kept = out / f"{model}-{entry['setting']}"
            shutil.copytree(work / entry["setting"] / "best", kept)
            shutil.copy(work / entry["setting"] / "shown.png", kept.with_suffix(".png"))
            print(json.dumps({"kept": kept.name, **entry}), flush=True)


def say(entry: dict, folder: Path) -> None:
    line = json.dumps(entry)
    print(line, flush=True)
    with (folder / "results.jsonl").open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
