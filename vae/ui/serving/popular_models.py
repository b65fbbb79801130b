"""Auto-encoders that many people know, for the model picker: where they are, under which licence, how large."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PopularModel:
    """file: the weights that vae.load fetches, within the repository. megabytes: their size. gated: needs a token."""

    id: str
    title: str
    says: str
    licence: str
    megabytes: float
    file: str = "diffusion_pytorch_model.safetensors"
    gated: bool = False


POPULAR_MODELS = (
    PopularModel(
        "stabilityai/sd-vae-ft-mse", "Stable Diffusion 1 and 2", "fine-tuned for a small squared error", "MIT", 335
    ),
    PopularModel("stabilityai/sdxl-vae", "Stable Diffusion XL", "the same network, retrained", "MIT", 335),
    PopularModel(
        "black-forest-labs/FLUX.1-schnell",
        "FLUX.1",
        "four times as many latent channels",
        "Apache 2.0",
        168,
        "vae/diffusion_pytorch_model.safetensors",
        gated=True,
    ),
    PopularModel("madebyollin/taesd", "TAESD", "tiny; shares Stable Diffusion's latents", "MIT", 9.8),
    PopularModel("madebyollin/taesdxl", "TAESDXL", "tiny; shares SDXL's latents", "MIT", 9.8),
    PopularModel("madebyollin/taef1", "TAEF1", "tiny; shares FLUX.1's latents", "MIT", 9.8),
    PopularModel("madebyollin/taef2", "TAEF2", "tiny; shares FLUX.2's latents", "MIT", 10.7, "taef2.safetensors"),
)


def on_disk() -> list[str]:
    """The ids of those that were downloaded before. Asks the cache, never the network."""
    from huggingface_hub import try_to_load_from_cache

    return [entry.id for entry in POPULAR_MODELS if isinstance(try_to_load_from_cache(entry.id, entry.file), str)]


def popular_models() -> list[dict]:
    """The list for the page; on_disk says whether an earlier download is there."""
    there = on_disk()
    return [
        {
            "id": entry.id,
            "title": entry.title,
            "says": entry.says,
            "licence": entry.licence,
            "megabytes": entry.megabytes,
            "gated": entry.gated,
            "on_disk": entry.id in there,
        }
        for entry in POPULAR_MODELS
    ]
