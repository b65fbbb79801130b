"""What a training run is made of, and the recipes that come with the project."""

from dataclasses import asdict, dataclass, field, fields, replace

from vae.errors import InputError
from vae.loss import RECONSTRUCTIONS
from vae.models import KL_PRESETS, ConvConfig, config_from_dict, config_to_dict

SCHEDULES = ("one-cycle", "constant")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class TrainConfig:
    """Everything `fit` needs; a run folder's config.json holds it, so a run can be gone on with and repeated.

    model: the model's config as in a checkpoint's config.json.
    data: a name, folder, archive or Hub id; test_size is the share held out where the data have no test split.
    batch_size: images a process sees at once; one update takes batch_size * accumulate * processes of them.
    learning_rate: the peak for "one-cycle" (Smith 2018, arXiv:1803.09820: up for 15% of the run, then a cosine to 0).
    beta2: Adam's second decay rate; with 0.99 it follows the gradients of a short, fast run better than with 0.999.
    reconstruction, beta: the loss, see vae.loss.
    ema_images: half-life in images of the weights' running average, which is what is validated and saved; 0 is off.
    clip: the gradients' greatest norm; 0 is off. flip: mirror half of the training images, where left is like right.
    precision: "auto" takes bfloat16 where it was measured to be faster.
    """

    preset: str = "mnist-vae"
    model: dict = field(default_factory=lambda: config_to_dict(ConvConfig()))
    data: str = "digits"
    test_size: float = 0.2
    epochs: int = 30
    batch_size: int = 64
    accumulate: int = 1
    learning_rate: float = 1e-2
    beta2: float = 0.99
    schedule: str = "one-cycle"
    reconstruction: str = "sum"
    beta: float = 1.0
    ema_images: int = 0
    clip: float = 0.0
    flip: bool = False
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self):
        _range("epochs", self.epochs, 1, 100_000)
        _range("batch_size", self.batch_size, 1, 65_536)
        _range("accumulate", self.accumulate, 1, 1024)
        _range("ema_images", self.ema_images, 0, 10**9)
        _range("seed", self.seed, 0, 2**63 - 1)
        _range("learning_rate", self.learning_rate, 1e-9, 10.0, whole=False)
        _range("beta2", self.beta2, 0.0, 0.999999, whole=False)
        _range("beta", self.beta, 0.0, 1e6, whole=False)
        _range("clip", self.clip, 0.0, 1e6, whole=False)
        _range("test_size", self.test_size, 0.001, 0.9, whole=False)
        for name, known in (("schedule", SCHEDULES), ("reconstruction", RECONSTRUCTIONS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")
        config_from_dict(self.model)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: dict) -> "TrainConfig":
        """The config in a run folder's config.json. Raises InputError for unknown fields or values out of range."""
        unknown = set(entries) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"A training config has no field {min(unknown)!r}.")
        return cls(**entries)


def _range(name: str, value: float, low: float, high: float, whole: bool = True) -> None:
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise InputError(
            f"{name} must be {'a whole number' if whole else 'a number'} from {low} to {high}, not {value}."
        )


def preset(name: str, **changes) -> TrainConfig:
    """The recipe of that name, with the given fields changed; None leaves a field as it is. InputError if unknown."""
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    return replace(PRESETS[name], **{key: value for key, value in changes.items() if value is not None})


_PHOTOS = {"data": "cifar10", "reconstruction": "sigma", "ema_images": 20_000, "clip": 1.0, "flip": True}
# For minutes on a CPU: what counts is the number of updates, so they are small.
_SMALL = _PHOTOS | {"ema_images": 5000, "epochs": 12, "batch_size": 8, "learning_rate": 1.5e-3}

PRESETS = {
    "mnist-vae": TrainConfig(),
    "mnist-ae": TrainConfig(preset="mnist-ae", model=config_to_dict(ConvConfig(variational=False)), beta=0.0),
    # Wider, and with a decoder variance of 1/20 in place of 1/2: sharper, at more nats.
    "mnist-vae-large": TrainConfig(
        preset="mnist-vae-large",
        model=config_to_dict(ConvConfig(features=(1, 24, 48, 96, 4))),
        data="mnist",
        epochs=24,
        learning_rate=5e-3,
        beta=0.1,
    ),
    "sd-small": TrainConfig(preset="sd-small", model=config_to_dict(KL_PRESETS["sd-small"]), **_SMALL),
    "sd-small-16": TrainConfig(preset="sd-small-16", model=config_to_dict(KL_PRESETS["sd-small-16"]), **_SMALL),
    "sd": TrainConfig(
        preset="sd", model=config_to_dict(KL_PRESETS["sd"]), epochs=10, batch_size=4, learning_rate=1e-4, **_PHOTOS
    ),
    # Seed 1's hyperparameters: MSE, beta 2.5e-4, batches of 4, Adam at a constant 1e-4, for 100 epochs.
    "sd-notebook": TrainConfig(
        preset="sd-notebook",
        model=config_to_dict(KL_PRESETS["sd-notebook"]),
        data="cifar10",
        epochs=100,
        batch_size=4,
        learning_rate=1e-4,
        beta2=0.999,
        schedule="constant",
        reconstruction="mean",
        beta=2.5e-4,
    ),
}
