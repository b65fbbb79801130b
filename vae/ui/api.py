"""The app over HTTP and MCP, with the page's own engine: by keyword, all after the first argument optional."""

import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from PIL import Image

from vae import images
from vae.inference import MAX_SEED, Draw, Endpoint, draw_seed
from vae.latents.priors import MOST_STEPS
from vae.training.presets import PRESETS
from vae.training.recipes import FIRST
from vae.training.setting import Setting
from vae.ui.advice import advice
from vae.ui.components import endpoint, number, whole
from vae.ui.downloads import SHOWN, animation
from vae.ui.serving import access
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.models import ModelServer
from vae.ui.tabs.reconstruct import figures
from vae.ui.tabs.train import SETTINGS, training
from vae.ui.training.training_job import TrainingJob
from vae.ui.uploads import read_picture

MAX_SAMPLES = 4096  # in one answer
MAX_SIDE = 4096  # pixels


def build(server: ModelServer, catalog: Catalog, training_job: TrainingJob) -> None:
    """Register the endpoints in the Blocks that is being built."""

    def models() -> list:
        """List the models that can be used here, with their facts: name, family, parameters, image_size (pixels),
        latent_shape (channels, height, width), trained_on, and kind (bundled, run or live)."""
        return catalog.models()

    def reconstruct(
        image: dict,
        model: str | None = None,
        sample: bool = False,
        seed: int | None = None,
        max_side: int = 1024,
        clean_photo: bool = True,
    ) -> tuple:
        """Encode an image with a variational auto-encoder and decode it again; measure what was lost, and how unusual
        the image is for the model beside those it was tested on (null if that was not measured). Where the model does
        not suit the image, "advice" says so and names a model to try instead.

        Args:
            image: The image, in any common format; it is fitted to the model's size and colours.
            model: The model's name, as listed by models; the first of them if left out.
            sample: Decode a random draw from the posterior instead of its mean.
            seed: The seed of that draw; drawn and handed back if left out.
            max_side: For a model that takes any size: a longer side is reduced to so many pixels.
            clean_photo: Show a model of digits a dark digit on bright paper in white on black, cropped and centred; the
                figures' "cleaned" then says so.
        """
        longest = whole("max_side", max_side, 16, MAX_SIDE)
        number_ = None if seed is None else whole("The seed", seed, 0, MAX_SEED)
        picture, cleaned = read_picture(image, longest), bool(clean_photo)
        found = server.reconstruct(model, picture, bool(sample), number_, longest, clean_photo=cleaned)
        said = advice(catalog, model, picture, found)
        return written(found.image, "reconstruction.png"), figures(found) | {"advice": said}

    def sample(
        model: str | None = None,
        n: int = 16,
        seed: int | None = None,
        temperature: float = 1.0,
        prior: str = "normal",
        label: str | None = None,
        steps: int | None = None,
    ) -> tuple:
        """Draw new images from a variational auto-encoder's prior.

        Args:
            model: The model's name, as listed by models; the first of them if left out.
            n: How many images; they come in one grid.
            seed: The same seed gives the same images; drawn and handed back if left out.
            temperature: Scales the standard deviation of the draw; 1 is the prior itself.
            prior: Which of the model's priors to draw from: normal is N(0, I); gaussian, mixture, flow and diffusion
                are there where they were fitted to the model.
            label: Draw one class alone, by its name or number: "7", "Sneaker". It takes a prior that was fitted to
                labelled images; the mixture is then used unless another is named.
            steps: How many steps the diffusion prior takes for a draw, 1 to 64; what it was made with if left out.
        """
        n = whole("n", n, 1, MAX_SAMPLES)
        used = draw_seed() if seed is None else whole("The seed", seed, 0, MAX_SEED)
        wanted = None if label in (None, "") else str(label)
        temperature = number("The temperature", temperature, 0, 10)
        taken = None if steps is None else whole("steps", steps, 1, MOST_STEPS)
        found = server.sample(model, n, used, temperature, str(prior or "normal"), label=wanted, steps=taken)
        facts = {
            "n": n,
            "seed": used,
            "temperature": temperature,
            "prior": found.prior,
            "label": wanted,
            "steps": found.steps,
            "seconds": round(found.seconds, 4),
        }
        return written(images.grid(found.pixels), f"samples-seed-{used}.png"), facts

    def interpolate(
        image_a: dict | None = None,
        image_b: dict | None = None,
        model: str | None = None,
        seed_a: int = 0,
        seed_b: int = 1,
        steps: int = 16,
        mode: str = "slerp",
    ) -> tuple:
        """Animate the way between two latents of a variational auto-encoder, there and back, as a GIF.

        Args:
            image_a: The image at the one end; a latent drawn from seed_a if left out.
            image_b: The image at the other end; a latent drawn from seed_b if left out.
            model: The model's name, as listed by models; the first of them if left out.
            seed_a: The seed of the one end, where there is no image.
            seed_b: The seed of the other end, where there is no image.
            steps: How many images from end to end, both included.
            mode: slerp goes around the sphere, lerp straight, prior through the space of a prior that was fitted to the
                model, from which seeds then draw, too: between two seeds the diffusion prior, where there is one.
        """
        steps = whole("steps", steps, 2, 256)
        a, b = end(image_a, seed_a, "seed_a"), end(image_b, seed_b, "seed_b")
        found = server.interpolate(model, [a, b], steps, mode)
        size = max(SHOWN, *found.pixels.shape[-2:])
        path = animation(found.pixels, Path(tempfile.mkdtemp(dir=cache())), size=size)
        facts = {
            "steps": steps,
            "mode": mode,
            "prior": found.prior,
            "seed_a": a.seed if isinstance(a, Draw) else None,
            "seed_b": b.seed if isinstance(b, Draw) else None,
            "cleaned": found.cleaned,
            "seconds": round(found.seconds, 4),
        }
        return gr.FileData(path=str(path)).model_dump(), facts

    def train_start(preset: str | None = None, *settings) -> dict:
        """Start training a model on the server. One training runs at a time. Hands back the run's name, and a token
        with which train_stop stops it from another session.
        """
        named = dict(zip(SETTINGS, settings, strict=True))
        named["init"] = catalog.beginning(named["init"])
        config = training(preset, named.pop("data"), not catalog.audience.may_open_paths(), **named)
        token = access.new_token()
        return {"run": training_job.start(config, catalog.audience.visitor(token)).name, "token": token}

    def train_status(run: str, since: int = 0) -> dict:
        """Say where a training stands.

        Args:
            run: The run's name, as train_start gave it.
            since: How many epochs' metrics are known already; only later ones are returned.
        """
        since = whole("since", since, 0, 10**9)
        watched = catalog.run(run)
        state = watched.state()
        metrics = [entry for entry in watched.metrics() if entry.get("kind") == "epoch"]
        facts = {key: state.get(key) for key in STATUS}
        return {"run": watched.name, **facts, "metrics": metrics[since:]}

    def train_stop(run: str, token: str | None = None) -> dict:
        """Stop a training. It ends within a step and keeps what it has learned. Only its owner and the host can.

        Args:
            run: The run's name, as train_start gave it.
            token: As train_start gave it; needed from another session than the one that started the run.
        """
        stopped = catalog.run(run)
        training_job.stop(stopped, catalog.audience.visitor(token))
        return {"run": stopped.name, "state": stopped.state()["state"]}

    endpoint(models, {}, {"models": "list"}, queue=False)
    endpoint(
        reconstruct,
        {"image": "picture", "model": "str", "sample": "bool", "seed": "int", "max_side": "int", "clean_photo": "bool"},
        {"image": "file", "figures": "json"},
    )
    endpoint(
        sample,
        {
            "model": "str",
            "n": "int",
            "seed": "int",
            "temperature": "float",
            "prior": "str",
            "label": "str",
            "steps": "int",
        },
        {"image": "file", "facts": "json"},
    )
    endpoint(
        interpolate,
        {
            "image_a": "picture",
            "image_b": "picture",
            "model": "str",
            "seed_a": "int",
            "seed_b": "int",
            "steps": "int",
            "mode": "str",
        },
        {"animation": "file", "facts": "json"},
    )
    endpoint(
        with_settings(train_start),
        {"preset": "str"} | {name: kind_of(known) for name, known in SETTINGS.items()},
        {"started": "json"},
    )
    endpoint(train_status, {"run": "str", "since": "int"}, {"status": "json"}, queue=False)
    endpoint(train_stop, {"run": "str", "token": "str"}, {"stopped": "json"}, queue=False)


STATUS = (
    "state",
    "reason",
    "epoch",
    "epochs",
    "step",
    "steps",
    "images_per_second",
    "seconds_left",
    "started",
    "updated",
)


def kind_of(setting: Setting) -> str:
    """What a client gives for a setting."""
    return f"{setting.type.__name__}{' or auto' if setting.auto else ''}"


def with_settings(function: Callable) -> Callable:
    """`function` of (preset, *settings), as clients are to see it: each setting by name, with its sentence."""
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    settings = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=known.type | None)
        for name, known in SETTINGS.items()
    ]
    recipes = f"The recipe: {', '.join(PRESETS)}; left out, {FIRST}, or what suits the model of init."
    sentences = {"preset": f"{recipes} What is left out below is as it says."}
    sentences |= {name: known.description for name, known in SETTINGS.items()}
    arguments = "\n".join(f"    {name}: {sentence}" for name, sentence in sentences.items())
    function.__signature__ = inspect.signature(function).replace(parameters=own + settings)
    function.__doc__ = f"{inspect.cleandoc(function.__doc__)}\n\nArgs:\n{arguments}\n"
    return function


def end(image: dict | None, seed: object, name: str) -> Endpoint:
    return read_picture(image) if image else Draw(whole(name, seed, 0, MAX_SEED))


def cache() -> Path:
    """Gradio's own folder for files it hands out and, after a while, deletes."""
    from gradio.utils import get_upload_folder

    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def written(image: Image.Image, name: str) -> dict:
    """A PNG on disk as what Gradio hands over to a client."""
    path = Path(tempfile.mkdtemp(dir=cache())) / name
    path.write_bytes(images.png_bytes(image))
    return gr.FileData(path=str(path)).model_dump()
