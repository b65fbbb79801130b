"""What a training is made of: every setting once, with its range."""

from dataclasses import asdict, dataclass, field, fields

from vae.errors import InputError
from vae.loss import RECONSTRUCTIONS
from vae.models import ConvConfig, config_from_dict, config_to_dict

SCHEDULES = ("one-cycle", "constant")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
COMPILE = ("auto", "on", "off")


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
    compile: the network's blocks by torch.compile: "auto" where it pays, which takes a GPU and a long run.
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
    compile: str = "auto"
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
        for name, known in (
            ("schedule", SCHEDULES),
            ("reconstruction", RECONSTRUCTIONS),
            ("precision", PRECISIONS),
            ("compile", COMPILE),
        ):
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
