"""Auto-encoders that many people know, for the model picker: where they are, under which licence, how large."""

from dataclasses import asdict, dataclass

from vae.models import FAMILIES

KL, TINY = "AutoencoderKL", "AutoencoderTiny"
IN_FOLDER = "vae/diffusion_pytorch_model.safetensors"  # of a whole pipeline's repository


@dataclass(frozen=True)
class PopularModel:
    """family: under which it is listed. class_name: of its config.json, or what its file is read as; it is listed where
    that is a family of ours. file: the weights that vae.load fetches, within the repository. megabytes: their size.
    gated: needs a token."""

    id: str
    family: str
    title: str
    says: str
    licence: str
    megabytes: float
    file: str = "diffusion_pytorch_model.safetensors"
    class_name: str = KL
    gated: bool = False


SD, FLUX, OTHERS, TINIES = "Stable Diffusion", "FLUX", "Others", "Tiny, to share a larger one's latents"
POPULAR_MODELS = (
    PopularModel(
        "stabilityai/sd-vae-ft-mse", SD, "Stable Diffusion 1 and 2", "fine-tuned for a small squared error", "MIT", 335
    ),
    PopularModel("stabilityai/sdxl-vae", SD, "Stable Diffusion XL", "the same network, retrained", "MIT", 335),
    PopularModel("madebyollin/sdxl-vae-fp16-fix", SD, "SDXL, fp16 fix", "fits into 16 bits", "MIT", 335),
    PopularModel("KBlueLeaf/EQ-SDXL-VAE", SD, "EQ-VAE", "SDXL's, taught to turn and scale", "Apache 2.0", 335),
    PopularModel(
        "stabilityai/stable-diffusion-3.5-large",
        SD,
        "Stable Diffusion 3.5",
        "four times as many latent channels",
        "Stability Community",
        168,
        IN_FOLDER,
        gated=True,
    ),
    PopularModel(
        "black-forest-labs/FLUX.1-schnell",
        FLUX,
        "FLUX.1",
        "16 latent channels",
        "Apache 2.0",
        168,
        IN_FOLDER,
        gated=True,
    ),
    PopularModel(
        "black-forest-labs/FLUX.2-klein-4B",
        FLUX,
        "FLUX.2",
        "32 latent channels",
        "Apache 2.0",
        168,
        IN_FOLDER,
        "AutoencoderKLFlux2",
    ),
    PopularModel("Tongyi-MAI/Z-Image-Turbo", FLUX, "Z-Image", "in FLUX.1's latent space", "Apache 2.0", 168, IN_FOLDER),
    PopularModel(
        "Qwen/Qwen-Image",
        OTHERS,
        "Qwen-Image",
        "a video's network, for one frame",
        "Apache 2.0",
        254,
        IN_FOLDER,
        "AutoencoderKLQwenImage",
    ),
    PopularModel(
        "mit-han-lab/dc-ae-f32c32-sana-1.0-diffusers",
        OTHERS,
        "Sana",
        "a 32nd of the size, with 32 channels",
        "Apache 2.0",
        1250,
        class_name="AutoencoderDC",
    ),
    PopularModel("madebyollin/taesd", TINIES, "TAESD", "for Stable Diffusion 1 and 2", "MIT", 9.8, class_name=TINY),
    PopularModel("madebyollin/taesdxl", TINIES, "TAESDXL", "for SDXL", "MIT", 9.8, class_name=TINY),
    PopularModel("madebyollin/taesd3", TINIES, "TAESD3", "for Stable Diffusion 3", "MIT", 9.9, class_name=TINY),
    PopularModel("madebyollin/taef1", TINIES, "TAEF1", "for FLUX.1", "MIT", 9.9, class_name=TINY),
    PopularModel("madebyollin/taef2", TINIES, "TAEF2", "for FLUX.2", "MIT", 10.7, "taef2.safetensors", TINY),
)


def loadable() -> tuple[PopularModel, ...]:
    """Those of classes that are known here, by family."""
    return tuple(entry for entry in POPULAR_MODELS if entry.class_name in FAMILIES)


def on_disk() -> list[str]:
    """The ids of those that were downloaded before. Asks the cache, never the network."""
    from huggingface_hub import try_to_load_from_cache

    return [entry.id for entry in loadable() if isinstance(try_to_load_from_cache(entry.id, entry.file), str)]


def popular_models() -> list[dict]:
    """The list for the page; on_disk says whether an earlier download is there."""
    there, inner = on_disk(), ("file", "class_name")
    return [
        {name: value for name, value in asdict(entry).items() if name not in inner} | {"on_disk": entry.id in there}
        for entry in loadable()
    ]
