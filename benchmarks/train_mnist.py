"""Time to quality on MNIST: this project's training beside the MNIST tutorial's loop and pythae's trainer.

    python benchmarks/train_mnist.py                  the whole comparison: half an hour on two cores
    python benchmarks/train_mnist.py --peer-epochs 3  shorter: the loss to reach is then the plain loop's after 3 epochs
    python benchmarks/train_mnist.py --known-loss 28.3 --peer-epochs 2
                                                      shorter too: that is the plain loop's loss after 40 epochs, known
                                                      from an earlier run; two give their length
    python benchmarks/train_mnist.py --quick          the machinery alone, on scikit-learn's digits, in seconds

Each contestant is a process of its own, and they take turns of one epoch, so that whatever else the machine does slows
all alike. Only a contestant's own turns count as its time, from its first update on, its validation included. Images
a second are those of its median epoch; what its first took longer, as for compiling kernels, is given as the start.

  plain   what the MNIST tutorial describes: batches of 128 by index, Adam at a constant 1e-3, the loss read back at
          every batch; float32; its network with the moments put right, as here, in the modules PyTorch has for it
  ours    `vae.fit` with the preset mnist-vae, everything on: previews, checkpoints, metrics; in batches of 128, as the
          others (the preset's 64 are for small sets: they take fewer epochs but longer ones)
  pythae  its BaseTrainer and VAE on the same layers, for its images a second. It is looked for in this Python, or in
          another given by --pythae (it installs by: pip install --no-deps pythae imageio cloudpickle)
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from turns import Contestant, Turns

KNOWN_EPOCHS = 40  # of the plain loop, in --known-loss


def plain(options) -> None:
    """The MNIST tutorial's loop."""
    import torch

    from vae.data.sets import load_data
    from vae.models import ConvConfig, build

    torch.manual_seed(options.seed)
    model = plain_network(build(ConvConfig())).to(options.device)
    train, test = (
        load_data(options.data, split, 32, 1, 2).images[:, 0].to(options.device).float() / 255
        for split in ("train", "test")
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    turns = Turns()

    def losses(x):
        mean, logvar = model[0](x).chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        reconstruction = (model[1](z) - x).square().sum((1, 2, 3)).mean()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
        return reconstruction, kl

    forward, step = turns.timed("forward", losses), turns.timed("step", optimizer.step)
    while True:
        model.train()
        average, ids, start = 0.0, torch.randperm(len(train)).to(options.device), time.perf_counter()
        for first in range(0, len(train), 128):
            x = train[ids[first : first + 128], None]
            reconstruction, kl = forward(x)
            loss = reconstruction + kl
            optimizer.zero_grad()
            turns.timed("backward", loss.backward)()
            step()
            average += loss.detach().cpu().numpy()
        trained = time.perf_counter() - start
        model.eval()
        with torch.no_grad():
            parts = [sum(losses(x[:, None])).item() * len(x) for x in test.split(1000)]
        turns.done(len(train), trained, val_loss=sum(parts) / len(test))


def plain_network(model):
    """Encoder and decoder in PyTorch's own modules and standard layout, with the same parameters."""
    from torch import nn

    def rebuilt(module):
        if isinstance(module, nn.Sequential):
            return nn.Sequential(*(rebuilt(child) for child in module))
        return module

    return nn.ModuleList([rebuilt(model.encoder), rebuilt(model.decoder)])


def ours(options) -> None:
    from vae.training import loop
    from vae.training.objective import Objective
    from vae.training.presets import preset

    turns = None

    class Timed(loop.Trainer):
        def begin(self):
            nonlocal turns
            super().begin()
            turns = Turns()
            if options.device != "cpu":  # there the parts are launched, or are one graph, and a clock here says nothing
                return
            self.model.forward = turns.timed("forward", self.model.forward)
            Objective.__call__ = turns.timed("forward", Objective.__call__)
            self.accelerator.backward = turns.timed("backward", self.accelerator.backward)
            self.optimizer.step = turns.timed("step", self.optimizer.step)

        def validate(self):
            self.trained = time.perf_counter() - turns.start
            self.clock = dict(turns.clock)
            return super().validate()

        def log(self, kind, row, rate=None):
            super().log(kind, row, rate)
            if kind == "epoch":
                turns.clock |= self.clock
                val_loss = self.writer.metrics()[-1]["val_loss"]
                turns.done(self.plan.epoch_steps * self.plan.update_images, self.trained, val_loss=val_loss)

    loop.Trainer = Timed
    config = preset(
        "mnist-vae",
        data=options.data,
        epochs=options.epochs,
        seed=options.seed,
        batch_size=128,
        learning_rate=options.learning_rate,
        map_and_priors=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        loop.fit(config, run=Path(folder) / "run", device=options.device)


def pythae(options) -> None:
    import pythae.models
    import pythae.trainers
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from torch import nn

    from vae.data.sets import load_data
    from vae.models import ConvConfig, build

    torch.manual_seed(options.seed)
    layers = plain_network(build(ConvConfig()))

    class Encoder(BaseEncoder):
        def __init__(self):
            nn.Module.__init__(self)
            self.layers = layers[0]

        def forward(self, x):
            mean, logvar = self.layers(x).chunk(2, 1)
            return ModelOutput(embedding=mean.flatten(1), log_covariance=logvar.flatten(1))

    class Decoder(BaseDecoder):
        def __init__(self):
            nn.Module.__init__(self)
            self.layers = layers[1]

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z.reshape(-1, 4, 4, 4)))

    train = load_data(options.data, "train", 32, 1, 2).images.float() / 255
    config = pythae.models.VAEConfig(input_dim=(1, 32, 32), latent_dim=64, reconstruction_loss="mse")
    model = pythae.models.VAE(config, Encoder(), Decoder())
    turns = None

    class Trainer(pythae.trainers.BaseTrainer):
        def train_step(self, epoch):
            nonlocal turns
            turns = turns or Turns()
            loss = super().train_step(epoch)
            turns.done(len(train))
            return loss

    with tempfile.TemporaryDirectory() as folder:
        settings = pythae.trainers.BaseTrainerConfig(
            output_dir=folder, num_epochs=10_000, per_device_train_batch_size=128, learning_rate=1e-3, no_cuda=True
        )
        Trainer(model, BaseDataset(train, torch.zeros(len(train))), training_config=settings).train()


CONTESTANTS = {"plain": plain, "ours": ours, "pythae": pythae}


def seconds_to(turns: list[dict], loss: float) -> tuple[int, float] | None:
    """Epochs, and seconds of its own turns, until a contestant's validation loss was at most that."""
    seconds = 0.0
    for number, epoch in enumerate(turns, 1):
        seconds += epoch["seconds"]
        if epoch["val_loss"] <= loss:
            return number, seconds
    return None


def figures(turns: list[dict]) -> dict:
    trained = sum(epoch["trained"] for epoch in turns)
    usual = median(epoch["trained"] for epoch in turns)
    found = {"epochs": len(turns), "images_per_second": median(epoch["images"] / epoch["trained"] for epoch in turns)}
    found["start_seconds"] = turns[0]["trained"] - usual
    if turns[-1]["core"]:
        found["outside_share"] = 1.0 - sum(epoch["core"] for epoch in turns) / trained
    if "val_loss" in turns[-1]:
        found["val_loss"] = turns[-1]["val_loss"]
    return found


def compare(options) -> dict:
    pythons = {"plain": sys.executable, "ours": sys.executable, "pythae": find_pythae(options.pythae)}
    settings = ["--data", options.data, "--epochs", options.epochs, "--seed", options.seed]
    settings += ["--learning-rate", options.learning_rate, "--device", options.device]
    contestants = {
        name: Contestant(__file__, ["--be", name, *settings], python, options.verbose)
        for name, python in pythons.items()
        if python
    }
    limits = {"plain": options.peer_epochs, "ours": options.epochs, "pythae": options.pythae_epochs}
    try:
        for epoch in range(max(limits.values())):
            for name, contestant in contestants.items():
                if epoch < limits[name] and contestant.turn():
                    last = contestant.turns[-1]
                    loss = f"validation loss {last['val_loss']:.3f}" if "val_loss" in last else ""
                    print(f"{name:7} epoch {epoch + 1:3} {last['seconds']:7.2f} s  {loss}", file=sys.stderr)
    finally:
        for contestant in contestants.values():
            contestant.end()
    if not all(contestant.turns for contestant in contestants.values()):
        failed = min(name for name, contestant in contestants.items() if not contestant.turns)
        raise SystemExit(f"{failed} did not finish an epoch; --verbose shows why.")
    peer, mine = contestants["plain"], contestants["ours"]
    target = options.known_loss or peer.turns[-1]["val_loss"]
    whole = sum(epoch["seconds"] for epoch in peer.turns)
    if options.known_loss:
        whole *= KNOWN_EPOCHS / len(peer.turns)
    report = {name: figures(contestant.turns) for name, contestant in contestants.items()}
    report["target"] = target
    epochs = KNOWN_EPOCHS if options.known_loss else len(peer.turns)
    report["plain"] |= {"seconds_to_target": whole, "epochs_to_target": epochs}
    reached = seconds_to(mine.turns, target)
    if reached:
        report["ours"] |= {"seconds_to_target": reached[1], "epochs_to_target": reached[0]}
        report["time_ratio"] = whole / reached[1]
    peers = {name: contestant.turns for name, contestant in contestants.items() if name != "ours"}
    report["images_ratio"] = {name: pace(mine.turns, turns) for name, turns in peers.items()}
    return report


def pace(mine: list[dict], peers: list[dict]) -> float:
    """How many times the peer's images a second ours are: the median over the epochs that both had side by side."""
    pairs = zip(mine, peers, strict=False)
    return median(a["images"] / a["trained"] / (b["images"] / b["trained"]) for a, b in pairs)


def find_pythae(python: str | None) -> str | None:
    python = python or sys.executable
    there = subprocess.run([python, "-c", "import pythae.trainers"], capture_output=True, check=False).returncode == 0
    if not there:
        print("pythae is not installed here, so it is left out (see --help).", file=sys.stderr)
    return python if there else None


def say(report: dict) -> None:
    print(f"\n{'':8}{'images/s':>9}{'outside*':>10}{'epochs':>8}{'loss':>9}{'to the target':>26}")
    for name in CONTESTANTS:
        if name not in report:
            continue
        row = report[name]
        outside = f"{row['outside_share']:.1%}" if "outside_share" in row else "–"
        loss = f"{row['val_loss']:.2f}" if "val_loss" in row else "–"
        to = (
            f"{row['epochs_to_target']} epochs, {row['seconds_to_target']:.0f} s" if "seconds_to_target" in row else "–"
        )
        print(f"{name:8}{row['images_per_second']:9.0f}{outside:>10}{row['epochs']:8}{loss:>9}{to:>26}")
    print("* share of the training time that is neither forward, backward nor step\n")
    epochs = report["plain"]["epochs_to_target"]
    print(f"target: validation loss {report['target']:.3f}, the plain loop's after {epochs} epochs")
    for name, ratio in report["images_ratio"].items():
        print(f"images a second, median of the epochs side by side: ours is {ratio:.2f} times {name}")
    if "time_ratio" in report:
        ratio = report["time_ratio"]
        print(f"time to the target: ours is {ratio:.1f} times faster than all the plain loop's epochs")
    else:
        print("ours did not reach the target; give it more --epochs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist", help="a data set of grey pictures, as for python -m vae train")
    parser.add_argument("--peer-epochs", type=int, default=40, help="of the plain loop, whose last loss is the target")
    parser.add_argument(
        "--known-loss", type=float, help=f"the plain loop's validation loss after {KNOWN_EPOCHS} epochs"
    )
    parser.add_argument("--epochs", type=int, default=9, help="of ours")
    parser.add_argument("--learning-rate", type=float, default=1.4e-2, help="of ours, the highest")
    parser.add_argument("--pythae-epochs", type=int, default=3, help="of pythae, for its images a second")
    parser.add_argument("--pythae", metavar="PYTHON", help="a Python that has pythae")
    parser.add_argument("--device", default="cpu", help="of ours and of the plain loop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="digits, few epochs: tests the machinery only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--verbose", action="store_true", help="let the contestants print")
    parser.add_argument("--be", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.data, options.peer_epochs, options.epochs, options.pythae_epochs = "digits", 2, 4, 1
    if options.be:
        CONTESTANTS[options.be](options)
        return
    report = compare(options)
    print(json.dumps(report, indent=2)) if options.json else say(report)


if __name__ == "__main__":
    main()
