"""What a training is made of: every setting once, with its sentence and its range."""

from dataclasses import asdict, dataclass, field, fields, is_dataclass

from vae.errors import InputError
from vae.loss import RECONSTRUCTIONS
from vae.training.recipes import FIRST, LEARNING_RATE, names, recipe, suiting
from vae.training.setting import check_settings, setting

SCHEDULES = ("one-cycle", "constant")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
COMPILE = ("auto", "on", "off")
PARTS = ("encoder", "decoder")
CROPS = ("center", "random")
JUDGES = ("efficientnet", "lpips")


@dataclass(frozen=True)
class TrainConfig:
    """Everything `fit` needs; a run folder's config.json holds it, so a run can be gone on with and repeated.

    What is left out, or None, is as the recipe has it that `preset` names, after which the run is named too: the first
    one unless given or, with an `init`, the one that suits that model, with a gentler learning rate. Under a name of
    your own, which takes a model, it is as the first one has it. model: the model's config, itself or as in a
    checkpoint's config.json, with what `size`, `in_channels`, `latent_channels`, `widths`, `layers` and `downscale`
    change of it; with `init` it becomes that model's, at `size`. widths may be given as numbers, too. The others say
    themselves what they mean and accept; a new one needs no other line than its own here.

    One update takes batch_size * accumulate * processes images. For "one-cycle" the learning rate goes up for 15% of
    the run, then down a cosine to 0 (Smith 2018, arXiv:1803.09820). With a beta2 of 0.99 Adam follows the gradients of
    a short, fast run better than with 0.999. Raises InputError for a value that is not accepted.
    """

    preset: str = ""
    model: dict = field(default_factory=dict)
    data: str = setting(
        "digits", "digits, mnist, fashion, cifar10, a folder, a file of images or a Hub id (owner/name)."
    )
    val_data: str | None = setting(
        None, "Images to validate with where they lie apart, as for data; none of data is held out then.", public=False
    )
    value_range: str | None = setting(
        None, "The values over 8 bits that are black and white, such as 0:4095; by default their own.", public=False
    )
    epochs: int = setting(30, "Passes over the training images.", low=1, high=100_000)
    steps: int = setting(0, "Updates of the weights in all, in place of epochs, or 0.", low=0, high=10_000_000)
    beta: float = setting(1.0, "Weight of the KL.", low=0.0, high=1e6, label="β")
    learning_rate: float = setting(
        LEARNING_RATE,
        "Adam's step size, at its peak; with init a tenth of the preset's, unless given.",
        low=1e-9,
        high=10.0,
    )
    batch_size: int = setting(
        64, "Images at once in each process; auto is as many as fit.", low=1, high=65_536, auto=True
    )
    seed: int = setting(0, "Seed of weights, order and noise.", low=0, high=2**63 - 1)
    reconstruction: str = setting(
        "sum",
        "Squared errors summed or averaged over the pixels, absolute errors, or a likelihood of fitted variance.",
        choices=RECONSTRUCTIONS,
    )
    perceptual: float = setting(
        0.0, "Weight of a perceptual distance, in the features of a network trained on ImageNet.", low=0.0, high=1e4
    )
    perceptual_network: str = setting(
        "efficientnet",
        "That network: EfficientNet-Lite0, which two packages bring, or that of LPIPS, VGG16, downloaded once.",
        choices=JUDGES,
        public=False,
    )
    adversarial: float = setting(
        0.0, "Weight of a discriminator, of the other terms' gradients at the decoder's last layer.", low=0.0, high=1e4
    )
    adversarial_start: int = setting(
        20_000, "Images after which the discriminator's term counts, more and more.", low=0, high=10**9
    )
    equivariance: float = setting(
        0.0, "Weight of decoding latents that were made smaller or turned, as EQ-VAE does.", low=0.0, high=1e4
    )
    schedule: str = setting("one-cycle", "Course of the learning rate.", choices=SCHEDULES)
    beta2: float = setting(0.99, "Adam's second decay rate.", low=0.0, high=0.999999, label="β₂")
    accumulate: int = setting(1, "Batches to one update of the weights.", low=1, high=1024)
    ema_images: int = setting(
        0,
        "Half-life in images of the weights' average, which is what is saved, or 0 for none.",
        low=0,
        high=10**9,
        label="EMA half-life",
    )
    clip: float = setting(0.0, "Greatest norm of the gradients, or 0 for any.", low=0.0, high=1e6)
    flip: bool = setting(False, "Mirror half of the training images, where left is like right.")
    test_size: float = setting(0.2, "Share held out, where the data have no test split.", low=0.001, high=0.9)
    precision: str = setting("auto", "Arithmetic; auto is bf16 where it was measured to be faster.", choices=PRECISIONS)
    compile: str = setting(
        "auto", "torch.compile; auto is on a GPU in a long run where it pays.", choices=COMPILE, public=False
    )
    init: str | None = setting(
        None,
        "A model to go on from: a bundled name, a run or checkpoint folder, a weight file or a Hub id.",
        label="Start from",
    )
    freeze: str | None = setting(None, "The part that stays as it is.", choices=PARTS)
    size: int | None = setting(
        None, "Pixels of an image's side; left out, the network's own.", low=1, high=4096, label="Image size"
    )
    in_channels: int | None = setting(
        None,
        "An image's channels: 1 grey, 3 colour, 2 and 4 with transparency.",
        low=1,
        high=4,
        label="Colour channels",
    )
    latent_channels: int | None = setting(None, "Numbers in each latent pixel.", low=1, high=1024)
    widths: str | None = setting(None, "Channels of each level, the image's first, such as 32,64,128.")
    layers: int | None = setting(
        None, "Residual blocks in each encoder level; decoder levels have one more.", low=1, high=16
    )
    downscale: int | None = setting(
        None, "Pixels of an image's side that make one of its latent's: a power of 2.", low=1, high=128
    )
    crop: str = setting(
        "center", "Images fitted by their short side, or cut at random places out of the whole.", choices=CROPS
    )
    gradient_checkpointing: bool = setting(False, "Compute each block twice, to need less memory.")
    map_and_priors: bool = setting(
        True, "Measure the latents and fit priors at the end, where model and data are small.", label="Map and priors"
    )

    def __post_init__(self):
        from vae.depth import checked_range  # here, for NumPy is not needed to say which options there are
        from vae.models import config_from_dict, config_to_dict
        from vae.training.model_shape import shaped, widths_text

        if is_dataclass(self.model):
            object.__setattr__(self, "model", config_to_dict(self.model))
        preset = self.preset or suiting(self.init or None)
        usual = recipe(FIRST if self.model and preset not in names() else preset, self.init or None)
        object.__setattr__(self, "preset", preset)
        object.__setattr__(self, "model", self.model or usual["model"])
        object.__setattr__(self, "widths", widths_text(self.widths))
        check_settings(self, usual)
        checked_range(self.value_range)
        model = config_from_dict(self.model)
        if self.init is None:
            model = shaped(model, self)
        object.__setattr__(self, "model", config_to_dict(model))
        if self.adversarial and self.freeze == "decoder":
            raise InputError("The adversarial term teaches the decoder; it cannot be used with a frozen decoder.")
        if self.adversarial and self.precision == "fp16":
            raise InputError("The adversarial term takes bf16 or fp32, not fp16.")
        if self.equivariance and self.compile == "on":
            raise InputError(
                "The equivariance term decodes at many sizes, which cannot be compiled; set compile to auto or off."
            )

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: dict) -> "TrainConfig":
        """The config in a run folder's config.json. Raises InputError for unknown fields or values out of range."""
        unknown = set(entries) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"A training config has no field {min(unknown)!r}.")
        return cls(**entries)
