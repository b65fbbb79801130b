"""The recipes that come with the project, as the configs they make."""

from collections.abc import Iterator, Mapping

from vae.training.config import TrainConfig
from vae.training.recipes import ON_GPU, names, recipe, suiting


def preset(name: str | None, device: str | None = None, **changes) -> TrainConfig:
    """The recipe of that name, with the given fields changed; None leaves a field as it is. InputError if unknown.

    name: None for the first or, with an `init`, for the one that suits this model. device: what it is for, as for
    `fit`. On a GPU some recipes take larger batches (ON_GPU), unless the changes say how large or how fast; left out,
    the recipe is the one for a CPU.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    name = suiting(given.get("init")) if name is None else name
    wide = name in ON_GPU and device is not None and not given.keys() & {"batch_size", "learning_rate"}
    if wide:
        from vae.device import pick_device  # heavy, and --help, which reads the names, needs no device

        wide = pick_device(device).type == "cuda"
    return TrainConfig(**recipe(name, given.get("init"), wide) | {"preset": name} | given)


class Presets(Mapping[str, TrainConfig]):
    """The recipes by name, each made when it is asked for: --help lists the names, and does not wait for torch. A
    registered family whose config is complete without being told anything is one, too.
    """

    def __getitem__(self, name: str) -> TrainConfig:
        if name not in names():
            raise KeyError(name)
        return TrainConfig(preset=name)

    def __iter__(self) -> Iterator[str]:
        return iter(names())

    def __len__(self) -> int:
        return len(names())


PRESETS = Presets()
