"""A small classifier of a labelled data set: its features are the space that generated images are measured in.

The recipe is fixed, seeded and computed in float32 on the CPU, so that a data set has one classifier, and figures taken
with it can be compared. It is trained when first asked for, and kept in the cache.
"""

import hashlib
import json
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vae import images
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.files import replacing
from vae.user_folders import cache_dir

# Changing any of these gives other features: the cache is keyed by them.
RECIPE = {
    "version": 2,
    "widths": [16, 32],
    "kernel": 5,
    "features": 128,
    "batch_size": 128,
    "learning_rate": 4e-3,
    "images": 240_000,
    "epochs": 60,
    "seed": 0,
}
CONFIDENT = 0.95
SMALLEST = 16  # pixels a side


class Classifier(nn.Module):
    """A plain network: twice convolution, ReLU and max-pool, then `features` ReLU units, which are what is compared,
    and one linear layer to the classes. accuracy: on the data set's test images, a share."""

    accuracy: float

    def __init__(self, shape: tuple[int, int, int], classes: int):
        super().__init__()
        widths, layers = [shape[0], *RECIPE["widths"]], []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Conv2d(fan_in, fan_out, RECIPE["kernel"]), nn.ReLU(), nn.MaxPool2d(2)]
        flat = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            length = flat(torch.zeros(1, *shape)).shape[1]
        self.trunk = nn.Sequential(*flat, nn.Linear(length, RECIPE["features"]), nn.ReLU())
        self.head = nn.Linear(RECIPE["features"], classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, 128), not normalised, of images (N, C, H, W) in [-1, 1]."""
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


@torch.inference_mode()
def judge(classifier: Classifier, x: Tensor, batch_size: int = 1000) -> tuple[Tensor, Tensor]:
    """Features (N, 128) and class probabilities (N, classes) of images (N, C, H, W), uint8 or float in [-1, 1]."""
    parts = []
    for part in x.split(batch_size):
        h = classifier.features(images.to_float(part) if part.dtype == torch.uint8 else part)
        parts.append((h, classifier.head(h).softmax(1)))
    features, probabilities = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(probabilities)


def classifier_for(
    train: ImageSet, test: ImageSet, on_progress: Callable[[int, int], None] | None = None
) -> Classifier:
    """The classifier of a data set given by its two splits, from the cache or newly trained.

    on_progress(step, steps) is called while it trains. Raises InputError for a set without labels, with one class
    only, too small images, or too many to be held in memory.
    """
    for data in (train, test):
        if data.labels is None:
            raise InputError(f"{data.name} has no labels, which measuring generated images by a classifier needs.")
        if data.images is None:
            raise InputError(f"{data.name} is too large to be held in memory, as training a classifier on it needs.")
    if min(train.shape[1:]) < SMALLEST:
        raise InputError(f"The classifier takes images from {SMALLEST} x {SMALLEST} pixels on.")
    classes = len(train.classes) if train.classes else int(train.labels.max()) + 1
    if len(train.labels.unique()) < 2:
        raise InputError(f"{train.name} has one class only; a classifier needs two or more.")
    path = cache_dir() / "classifiers" / f"{train.name.replace('/', '-')}-{_key(train, test)}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RECIPE["seed"])
        model = Classifier(train.shape, classes)
    try:
        state = load_file(path)
        model.accuracy = float(state.pop("accuracy"))
        model.load_state_dict(state)
    except Exception:  # none there, or damaged: safetensors and torch each raise their own
        _train(model, train, test, on_progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            save_file({**model.state_dict(), "accuracy": torch.tensor(model.accuracy, dtype=torch.float64)}, part)
    return model.eval().requires_grad_(False)


def _key(train: ImageSet, test: ImageSet) -> str:
    digest = hashlib.sha256(json.dumps(RECIPE).encode())
    for data in (train, test):
        digest.update(str(data.shape).encode())
        digest.update(data.images.numpy().tobytes())
        digest.update(data.labels.numpy().tobytes())
    return digest.hexdigest()[:16]


def _train(model: Classifier, train: ImageSet, test: ImageSet, on_progress) -> None:
    """One-cycle Adam on the cross-entropy."""
    generator = torch.Generator().manual_seed(RECIPE["seed"])
    model.train()
    batch = min(RECIPE["batch_size"], len(train))
    steps = max(1, min(RECIPE["images"], RECIPE["epochs"] * len(train)) // batch)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RECIPE["learning_rate"], steps, pct_start=0.15)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(train), generator=generator)
        chosen, order = order[:batch], order[batch:]
        loss = F.cross_entropy(model(images.to_float(train.images[chosen])), train.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if on_progress and (step % 10 == 9 or step + 1 == steps):
            on_progress(step + 1, steps)
    _, probabilities = judge(model.eval(), test.images)
    model.accuracy = (probabilities.argmax(1) == test.labels).double().mean().item()
