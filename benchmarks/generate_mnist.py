"""Generated digits: this project's models beside pythae's VAE, under the same measure, in one run.

    python benchmarks/generate_mnist.py                      trains both: hours without a GPU, for pythae's part
    python benchmarks/generate_mnist.py --model mnist-vae mnist-vae-large    ours are checkpoints, not trained again
    python benchmarks/generate_mnist.py --peer-epochs 1      shorter; the report says how long each was trained
    python benchmarks/generate_mnist.py --quick              the machinery alone, on scikit-learn's digits, in seconds

pythae: its VAE with 16 latent dimensions, the convolutional networks it has for MNIST, its own trainer and the settings
of its MNIST example: Adam at 1e-3, batches of 100, 100 epochs; sampled from N(0, I) and with its own sampler from a
mixture of 10 Gaussians, its default. It must be installed (pip install --no-deps pythae imageio cloudpickle); without
it there are only our rows. Ours: the preset mnist-vae or --model, sampled from N(0, I) and from `fit-prior`'s priors.
train_seconds: as measured here, or of a checkpoint as its metrics.jsonl has it, from the machine that trained it.

Both are measured by the Fréchet distance in the features of our own classifier, on as many samples. sse and kl are over
the test digits, through one posterior sample: squared error summed over pixels in [0, 1], and nats. Their sum is our
objective; pythae's weighs the error half, so that loss is given for each under both weights.
"""

import argparse
import importlib.util
import json
import tempfile
import time
from pathlib import Path

import torch

from vae.checkpoints.find_model import bundled
from vae.checkpoints.store import load
from vae.data.sets import load_data
from vae.device import pick_device
from vae.evaluation.classifier import CONFIDENT, classifier_for, judge
from vae.evaluation.evaluate import evaluate
from vae.evaluation.frechet import Moments, frechet
from vae.inference import make_generator
from vae.latents import priors
from vae.models import AutoEncoder
from vae.tiling import decode


class Judge:
    """The measure that all pass."""

    def __init__(self, train, test, count: int):
        self.classifier, self.count = classifier_for(train, test), count
        self.target = Moments(judge(self.classifier, test.images)[0])

    def __call__(self, pictures: torch.Tensor) -> dict:
        """images: (N, 1, 32, 32), uint8 or [-1, 1]."""
        if pictures.dtype != torch.uint8:
            pictures = pictures.add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        features, probabilities = judge(self.classifier, pictures)
        confident = (probabilities.max(1).values > CONFIDENT).float().mean().item()
        return {"frechet": frechet(Moments(features), self.target), "recognised": confident}


def trained(options) -> tuple[AutoEncoder, str, float]:
    """The preset mnist-vae after `options.epochs`, what to call it, and the seconds it took."""
    from vae.training.loop import fit
    from vae.training.presets import preset

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = preset("mnist-vae", data=options.data, epochs=options.epochs, seed=options.seed)
        run = fit(config, run=Path(folder) / "run", device=options.device)
        seconds = time.perf_counter() - start
        return load(run.folder, device=options.device), f"mnist-vae, {options.epochs} epochs", seconds


def stored(name: str, device: str) -> tuple[AutoEncoder, str, float | None]:
    """A checkpoint, its name, and the seconds that its training took if it says so."""
    metrics = bundled().get(name, Path(name)) / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.is_file() else []
    epochs = [line for line in map(json.loads, lines) if line["kind"] == "epoch"]
    return load(name, device=device), name, epochs[-1]["seconds"] if epochs else None


def ours(options, train, test, measure: Judge, model: AutoEncoder, name: str, seconds: float | None) -> dict:
    if not model.fitted_priors:
        model.fitted_priors = priors.fit_priors(model, train, seed=options.seed, updates=options.updates)
    figures = evaluate(model, test, options.seed)
    report = {
        "name": name,
        "parameters": model.parameter_count,
        "train_seconds": seconds,
        **{"sse": figures["reconstruction"], "kl": figures["kl"]},
        "prior_seconds": {kind: prior.facts["seconds"] for kind, prior in model.fitted_priors.items()},
    }
    for prior in model.priors:
        noise = torch.randn((measure.count, *model.latent_shape()), generator=make_generator(options.seed))
        z = noise if prior == "normal" else priors.of(model, prior)(noise)
        with torch.inference_mode():
            report[prior] = measure(torch.cat([decode(model, part).float().cpu() for part in z.split(500)]))
    return report


def pythae(options, train, test, measure: Judge) -> dict:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
    from pythae.samplers import GaussianMixtureSampler, NormalSampler
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    torch.manual_seed(options.seed)
    cut = slice(2, 30)  # 28 x 28, without the border that is ours
    x_train, x_test = (data.images[..., cut, cut].float() / 255 for data in (train, test))
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16)
    model = VAE(config, Encoder_Conv_VAE_MNIST(config), Decoder_Conv_AE_MNIST(config))
    device = pick_device(options.device)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=options.peer_epochs,
            learning_rate=1e-3,
            per_device_train_batch_size=100,
            no_cuda=device.type != "cuda",
        )
        BaseTrainer(model, BaseDataset(x_train, torch.zeros(len(x_train))), training_config=settings).train()
    seconds = time.perf_counter() - start
    model = model.to(device).eval()
    totals = torch.zeros(2, dtype=torch.float64)
    with torch.inference_mode():
        for x in x_test.to(device).split(500):
            out = model.encoder(x)
            mean, logvar = out.embedding, out.log_covariance
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
            error = (model.decoder(z).reconstruction - x).square().sum()
            kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum()
            totals += torch.stack([error, kl]).double().cpu()
    sse, kl = (totals / len(x_test)).tolist()
    report = {
        "name": f"pythae VAE, {options.peer_epochs} epochs",
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_seconds": seconds,
        **{"sse": sse, "kl": kl},
    }
    for name, sampler in (("normal", NormalSampler(model)), ("mixture", GaussianMixtureSampler(model))):
        sampler.fit(x_train)
        drawn = torch.as_tensor(sampler.sample(measure.count, return_gen=True)).float().cpu()
        report[name] = measure(torch.nn.functional.pad(2.0 * drawn.clamp(0, 1) - 1.0, (2, 2, 2, 2), value=-1.0))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--model", nargs="+", help="checkpoints of ours; without it one is trained")
    parser.add_argument("--epochs", type=int, default=64, help="of our training")
    parser.add_argument("--peer-epochs", type=int, default=100)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--updates", type=int, default=8000, help="of the flow's weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.data, options.epochs, options.peer_epochs, options.samples, options.updates = "digits", 2, 1, 200, 20
    train, test = (load_data(options.data, split, 32, 1, 2) for split in ("train", "test"))
    measure = Judge(train, test, options.samples)
    order = torch.randperm(len(train), generator=make_generator(options.seed))[: options.samples]
    models = [stored(name, options.device) for name in options.model] if options.model else [trained(options)]
    report = {
        "samples": options.samples,
        "classifier_accuracy": measure.classifier.accuracy,
        "floor": measure(train.images[order]),
        "ours": [ours(options, train, test, measure, *model) for model in models],
    }
    found = importlib.util.find_spec("pythae") is not None
    report["pythae"] = pythae(options, train, test, measure) if found else None
    for row in filter(None, (*report["ours"], report["pythae"])):
        row["loss"], row["half_loss"] = row["sse"] + row["kl"], 0.5 * row["sse"] + row["kl"]
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
