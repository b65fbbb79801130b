"""Diffusion priors of the bundled dogs, by a clock: how they are trained, what they draw, and how that is measured.

    python benchmarks/fit_dogs_prior.py --minutes 5 --data dogs128 --out OUT            all PLANS at once, on a GPU
    python benchmarks/fit_dogs_prior.py --minutes 5 --data dogs128 --out OUT --plan dogs-16-deep      one of them
    python benchmarks/fit_dogs_prior.py --measure dogs-vae-16 --data dogs128 --out OUT  what the priors it has now draw
    python benchmarks/fit_dogs_prior.py --quick --data dogs128 --out OUT                the machinery alone

Needs the network that vae/perceptual.py names. For each plan, OUT gets NAME.safetensors, a priors file with the
diffusion alone, bound to the bundled weights; report.json and samples.png, 64 draws of each, are of all the plans.

Measured in that network's features, at 64 pixels: the probability of some dog class, and Fréchet distances of 500 draws
to the held-out photographs and of 1,000 to 2,000 training photographs, by which the guidance and the steps are chosen
(floor: those of as many other training photographs). nearest: of 500 draws, the distance to the nearest training
photograph, mirrored or not, as a share of what is usual (median) for a held-out one; below 0.5 would be a copy.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae import images
from vae.checkpoints.find_model import weight_files
from vae.checkpoints.store import load
from vae.data.sets import load_data
from vae.device import pick_device
from vae.evaluation.frechet import Moments, frechet
from vae.inference import make_generator
from vae.latents import priors
from vae.latents.priors.diffusion import Diffusion
from vae.latents.priors.diffusion_training import TESTS, Training
from vae.latents.priors.fitting import encode_views
from vae.latents.priors.prior import Prior

PLANS = {
    "dogs-16-deep": ("dogs-vae-16", {"width": 192, "depth": 6, "dropout": 0.0}),
    "dogs-16-twice": ("dogs-vae-16", {"width": 256, "depth": 3, "repeats": 2, "dropout": 0.1}),
    "dogs-4": ("dogs-vae", {"width": 128, "depth": 6, "dropout": 0.1}),
}
GUIDANCE = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
SCHEDULES = ({"shift": 0.7}, {"shift": 1.5}, {"shift": 2.0}, {"steps": 8}, {"steps": 12}, {"steps": 64})


class Measure:
    def __init__(self, train: Tensor, test: Tensor, device: torch.device, count: int):
        """train, test: uint8 (N, 3, H, W)."""
        from vae.perceptual import imagenet_features

        self.network, self.device, self.count = imagenet_features(device), device, count
        order = torch.randperm(len(train), generator=make_generator(0))
        reference, other = train[order[: 2 * count]], train[order[2 * count : 3 * count]]
        features, dogs = self.features(test)
        self.test, self.train = Moments(features), Moments(self.features(reference)[0])
        self.known = torch.cat([train, train.flip(3)])
        self.usual = self._nearest(test).median()
        self.floor = {"photographs": self(other), "held_out": {"dog": dogs}}

    @torch.inference_mode()
    def features(self, pixels: Tensor) -> tuple[Tensor, float]:
        from vae.perceptual import DOGS

        found = [self.network(images.to_float(part.to(self.device))) for part in pixels.split(100)]
        features, classes = (torch.cat(x).float().cpu() for x in zip(*found, strict=True))
        return features, classes[:, DOGS].sum(1).mean().item()

    def _nearest(self, pixels: Tensor) -> Tensor:
        known = self.known.to(self.device).flatten(1).float()
        return torch.cat([torch.cdist(x.to(known).flatten(1), known).amin(1) for x in pixels.split(50)]).cpu()

    def __call__(self, pixels: Tensor) -> dict:
        features, dogs = self.features(pixels)
        half = self.count // 2
        return {
            "dog": round(dogs, 3),
            "frechet_held_out": round(frechet(Moments(features[:half]), self.test), 1),
            "frechet_train": round(frechet(Moments(features), self.train), 1),
        }

    def nearest(self, pixels: Tensor) -> dict:
        share = self._nearest(pixels[: self.count // 2]) / self.usual
        return {"least": round(share.min().item(), 3), "median": round(share.median().item(), 3)}


@torch.inference_mode()
def decoded(model, z: Tensor) -> Tensor:
    return torch.cat([images.to_uint8(model.decode(part.to(model.device)).clamp(-1, 1)).cpu() for part in z.split(100)])


def drawn(model, prior: Prior, device: torch.device, count: int, temperature: float = 1.0, rule=None) -> Tensor:
    """Images of `count` draws with seed 0, the prior's network on `device` for speed. rule: another way to go through
    the steps than the prior's."""
    noise = torch.randn((count, *prior.shape), generator=make_generator(0)).flatten(1)
    with torch.inference_mode():
        core = prior.core.to(device)
        used = noise[:, prior.frame.used].to(device)
        u = rule(core, used.unflatten(1, core.shape)).flatten(1) if rule else core(used, temperature)
        core.cpu()
    return decoded(model, prior.frame.place(temperature * noise, u.cpu()).unflatten(1, prior.shape))


def runge(core: Diffusion, u: Tensor, place: float) -> Tensor:
    """The second-order rule with half of core.steps steps, its second evaluation at `place` of one: 1/2 is the midpoint
    rule, 1 is Heun's."""
    size = 2.0 / core.steps
    for k in range(core.steps // 2):
        t = u.new_full((len(u), 1), k * size)
        first = core.velocity(u, t)
        second = core.velocity(u + place * size * first, t + place * size)
        u = u + size * first.lerp(second, 0.5 / place)
    return u


def euler(core: Diffusion, u: Tensor) -> Tensor:
    for k in range(core.steps):
        u = u + core.velocity(u, u.new_full((len(u), 1), k / core.steps)) / core.steps
    return u


def changed(prior: Prior, **settings) -> Prior:
    core = Diffusion(**(prior.core.settings | settings))
    core.load_state_dict(prior.core.state_dict())
    return Prior(prior.kind, prior.shape, prior.frame, core.eval().requires_grad_(False), prior.facts)


def store(model_name: str, prior: Prior, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(shutil.copy(file, folder)) for file in weight_files(model_name)]
        shutil.move(priors.write(copies, {"diffusion": prior}), path)


def compiled(run: Training) -> str:
    """Have the blocks compiled, which is twice as fast or more, if this machine can; its first updates, of next to no
    size, are made before the clock runs."""
    blocks = run.network.blocks
    try:
        for block in blocks:
            block.compile()
        for _ in range(3):
            run.step(0.0)
        return "compiled"
    except Exception as error:  # a compiler may fail in any way
        for block in blocks:
            block._compiled_call_impl = None
        return f"not compiled: {type(error).__name__}: {str(error)[:300]}"


def trained(model, data, settings: dict, options, say) -> tuple[Training, Prior]:
    device = pick_device(options.device)
    start = time.perf_counter()
    frame, encoded = encode_views(model, data, options.seed, 1 if options.quick else None)
    say(event="encoded", views=list(encoded.latents.shape), seconds=round(time.perf_counter() - start, 1))
    batch = 16 if options.quick else options.batch_size
    run = Training(encoded, device, options.seed, batch, options.learning_rate, **settings)
    if device.type == "cuda":
        say(event="compiled", as_said=compiled(run))
    start, tests = time.perf_counter(), 0
    while (done := (time.perf_counter() - start) / (60 * options.minutes)) < 1.0:
        run.step(done)
        if device.type == "cuda" and run.updates % 20 == 0:
            torch.cuda.synchronize()  # or updates would be asked for that the clock does not see
        if done * TESTS > tests + 1:
            tests += 1
            say(event="test", updates=run.updates, seconds=round(time.perf_counter() - start, 1), loss=run.test())
    say(event="test", updates=run.updates, seconds=round(time.perf_counter() - start, 1), loss=run.test())
    facts = {"data": data.name, "images": len(data), "seed": options.seed, "updates": run.updates}
    facts["seconds"] = round(time.perf_counter() - start, 1)
    return run, Prior("diffusion", tuple(model.latent_shape()), frame, run.result(), facts)


def judged(model, prior: Prior, measure: Measure, device: torch.device, quick: bool, say) -> tuple[dict, Prior]:
    """What the prior draws with each guidance, schedule and rule; and the prior with the best guidance."""

    def figures(prior: Prior, what: dict, **how) -> dict:
        found = what | measure(drawn(model, prior, device, measure.count, **how))
        say(event="measured", **found)
        return found

    guided = [figures(changed(prior, guidance=w), {"guidance": w}) for w in GUIDANCE[: 2 if quick else None]]
    best = min(guided, key=lambda row: row["frechet_train"])
    prior = changed(prior, guidance=best["guidance"])
    others = [figures(changed(prior, **change), change) for change in SCHEDULES[: 1 if quick else None]]
    others += [figures(prior, {"temperature": tau}, temperature=tau) for tau in (0.9, 0.95)]
    rules = {"euler": euler, "midpoint": lambda c, u: runge(c, u, 0.5), "heun": lambda c, u: runge(c, u, 1.0)}
    others += [figures(prior, {"rule": name}, rule=rule) for name, rule in rules.items()]
    report = {"best": best, "guidance": guided, "others": others}
    return report | {"nearest": measure.nearest(drawn(model, prior, device, measure.count))}, prior


def fit(name: str, options) -> None:
    model_name, settings = PLANS[name]
    device = pick_device(options.device)
    log = []

    def say(**line) -> None:
        log.append(line)
        print(name, json.dumps(line), flush=True)

    model = load(model_name, device=device)
    train, test = (load_data(options.data, split, 64, 3, test_size=0.05) for split in ("train", "test"))
    if options.quick:
        train.images, test.images = train.images[:100], test.images[:30]
    say(event="loaded", device=str(device), train=len(train), test=len(test))
    run, prior = trained(model, train, settings, options, say)
    store(model_name, prior, options.out / f"{name}.safetensors")  # whatever happens to the measures
    count = 10 if options.quick else 1000
    measure = Measure(train.images, test.images, device, count)
    with torch.inference_mode():
        z = torch.cat([model.encode(images.to_float(x.to(device))).mean for x in test.images.split(100)])
    reconstructed = measure.features(decoded(model, z))
    report = {
        "settings": prior.core.settings,
        "parameters": sum(p.numel() for p in prior.core.parameters()),
        **prior.facts,
        "floor": measure.floor,
        "reconstructions": {"dog": reconstructed[1], "frechet": frechet(Moments(reconstructed[0]), measure.test)},
    }
    last = changed(prior)
    last.core.load_state_dict(run.average.cpu().half().float().state_dict())
    report["at_the_end"], last = judged(model, last, measure, device, options.quick, say)
    if all(map(torch.equal, last.core.state_dict().values(), prior.core.state_dict().values())):
        prior, report["held_out_best"] = last, "the same"
    else:
        report["held_out_best"], prior = judged(model, prior, measure, device, options.quick, say)
        rows = [report[which]["best"]["frechet_train"] for which in ("at_the_end", "held_out_best")]
        prior = last if rows[0] < rows[1] else prior
    store(model_name, prior, options.out / f"{name}.safetensors")
    grid = images.to_float(drawn(model, prior, device, 64))
    images.grid(grid, 8, 2).save(options.out / f"{name}.png")
    tests = [line for line in log if line["event"] == "test"]
    (options.out / f"{name}.json").write_text(json.dumps(report | {"tests": tests}))


def together(names: list[str], out: Path) -> None:
    """One report and one image of all the plans, in place of theirs."""
    found = [name for name in names if (out / f"{name}.json").is_file() and (out / f"{name}.png").is_file()]
    reports = {name: json.loads((out / f"{name}.json").read_text()) for name in found}
    (out / "report.json").write_text(json.dumps(reports, indent=1))
    grids = [Image.open(out / f"{name}.png") for name in found]
    sheet = Image.new("RGB", (max(g.width for g in grids), sum(g.height + 8 for g in grids)), "white")
    top = 0
    for grid in grids:
        sheet.paste(grid, (0, top))
        top += grid.height + 8
    sheet.save(out / "samples.png")
    for name in found:
        (out / f"{name}.json").unlink()
        (out / f"{name}.png").unlink()


def measure_bundled(name: str, options) -> None:
    """Draws of the priors that a model has now."""
    device = pick_device(options.device)
    model = load(name, device=device)
    train, test = (load_data(options.data, split, 64, 3, test_size=0.05) for split in ("train", "test"))
    measure = Measure(train.images, test.images, device, 10 if options.quick else 1000)
    report = {"floor": measure.floor}
    for kind in model.priors:
        noise = torch.randn((measure.count, *model.latent_shape()), generator=make_generator(0))
        pixels = decoded(model, noise if kind == "normal" else priors.of(model, kind)(noise))
        report[kind] = measure(pixels) | {"nearest": measure.nearest(pixels)}
    print(json.dumps(report, indent=1))
    (options.out / f"measured-{Path(name).name}.json").write_text(json.dumps(report, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, each plan")
    parser.add_argument("--data", default="dogs128")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plan", choices=PLANS)
    parser.add_argument("--model", help="only the plans for this model")
    parser.add_argument("--measure", metavar="MODEL")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.quick:
        options.minutes = 0.1
    if options.measure:
        return measure_bundled(options.measure, options)
    if options.plan:
        return fit(options.plan, options)
    names = [name for name, (model, _) in PLANS.items() if options.model in (None, model)]
    children = [subprocess.Popen([sys.executable, *sys.argv, "--plan", name]) for name in names]
    failed = [name for name, child in zip(names, children, strict=True) if child.wait()]
    if len(failed) < len(names):
        together(names, options.out)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
