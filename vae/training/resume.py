"""What a run that is gone on with keeps of its settings, and what may change."""

from dataclasses import asdict, replace
from pathlib import Path

from vae.checkpoints.find_model import bundled
from vae.data.own_set import is_label
from vae.data.sets import find, located
from vae.errors import InputError
from vae.files import rooted_path
from vae.models import config_from_dict
from vae.training.config import TrainConfig

CHANGEABLE = ("epochs", "steps", "learning_rate")
PLACES = ("data", "val_data")  # where the same data may lie elsewhere


def rooted(config: TrainConfig) -> TrainConfig:
    """The config with absolute paths, so that the run can be gone on with from another current folder."""
    return replace(
        config,
        data=located(config.data),
        val_data=config.val_data and located(config.val_data),
        init=config.init and _located_model(config.init),
    )


def settings(config: TrainConfig, own_model: bool) -> dict:
    """What `config` asks of a run that is gone on with, as `continued` takes it. own_model: whether the caller brings
    the model."""
    asked = asdict(config)
    if config.init or own_model:
        del asked["model"]  # that is the model's at `init`, or the caller's
    return asked


def continued(name: str, kept: TrainConfig, asked: dict) -> TrainConfig:
    """The config of the run `name`, which began with `kept`, for going on with it.

    asked: fields and their values, None where one is left out. CHANGEABLE may differ; epochs alone end a run that was
    to have so many steps. Of PLACES another may be given for data on the disk; whether they are the same data is found
    out when they are read. Raises InputError that names the first other field that differs.
    """
    kept = rooted(kept)
    asked = {field: value for field, value in asked.items() if value is not None}
    if asked.get("batch_size") == "auto":  # what was found then is kept
        del asked["batch_size"]
    # What only a caller in Python has, own_parts asks for.
    if is_label(kept.data):
        asked.pop("data", None)
    if kept.model["_class_name"] == "Own":
        asked.pop("model", None)
    if "epochs" in asked:
        asked = {"steps": 0} | asked
    changed = rooted(replace(kept, **asked))
    for field in asked:
        before, now = getattr(kept, field), getattr(changed, field)
        same = config_from_dict(before) == config_from_dict(now) if field == "model" else before == now
        if field == "init" and before and not same:  # the model may be gone: its run has what became of it
            same = str(rooted_path(Path(now).expanduser())) == before
        if not same and field not in CHANGEABLE and not (field in PLACES and before and is_place(before)):
            what = "another model" if field == "model" else f"{field} {before}, not {now}"
            leave = "" if field == "model" else f"leave out --{field.replace('_', '-')}, or "
            raise InputError(
                f"The run {name!r} has {what}, and a resumed run keeps its settings but for epochs, steps and "
                f"learning rate; {leave}begin a new run."
            )
    return replace(kept, **{field: getattr(changed, field) for field in (*CHANGEABLE, *PLACES)})


def check_places(config: TrainConfig) -> None:
    """Raises InputError if the data of a run that is gone on with no longer lie where they lay."""
    for field in PLACES:
        place = getattr(config, field)
        if place and Path(place).is_absolute() and find(place) is None:
            option = f"--{field.replace('_', '-')}"
            raise InputError(
                f"The run's data are no longer at {place}; say with {option} ({field}=) where the same data are now."
            )


def is_place(name: str) -> bool:
    """Whether data of that name lie, or lay, on the disk."""
    return Path(name).is_absolute() or find(name) is not None


def _located_model(name: str) -> str:
    """A model's name, with a path made absolute."""
    try:
        path = Path(name).expanduser()
        return name if name in bundled() or not path.exists() else str(rooted_path(path))
    except (OSError, ValueError, RuntimeError):  # no path at all
        return name
