"""Which models there are to choose from: bundled ones, finished runs, the live run; and their facts."""

import hashlib
from pathlib import Path

from vae.checkpoints import hub
from vae.checkpoints.describe import describe
from vae.checkpoints.find_model import bundled
from vae.data.litdata_shards import is_remote
from vae.data.sets import ADDRESS
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.training.runs import ACTIVE, Run, list_runs, named_run
from vae.ui.serving.access import Audience
from vae.ui.serving.lru_cache import LruCache

REMEMBERED = 10_000  # models whose facts are kept
LISTED = 50  # runs that the page lists; older ones are there by their names
HUB = "https://huggingface.co/"
FIRST = "mnist-vae"  # small enough for what it leaves out to be seen at a glance


class Catalog:
    """The models by name. Reads folders, keeps each checkpoint's facts; all methods may be called from any thread."""

    def __init__(self, runs_dir: Path, wanted: str | None = None, audience: Audience | None = None):
        """wanted: the model that opens first, any source vae.load takes; of a path only the name is shown. audience:
        who chooses among them, on this machine alone if left out. Raises InputError if the wanted one cannot be read.
        """
        self.runs_dir, self.audience = runs_dir, audience or Audience()
        self._facts: LruCache[dict] = LruCache(REMEMBERED)
        self.wanted, self._wanted_source = None, wanted
        if wanted:
            known = self._known(wanted) is not None
            if not known:
                describe(wanted)
            own = Path(wanted).expanduser().resolve().name if not known and _exists(wanted) else wanted
            self.wanted = f"{own} (opened first)" if own != wanted and own in bundled() else own

    def _sources(self, most: int | None = None) -> dict[str, tuple[str, str | Path, dict]]:
        """name -> (kind, what vae.load takes, more facts). The live run comes first, then bundled, then other runs.
        most: as list_runs has it."""
        live, done = {}, {}
        for run in list_runs(self.runs_dir, most):
            entry = _of_run(run)
            if entry is not None:
                (live if entry[0] == "live" else done)[run.name] = entry
        ready = self._ready()
        return live | ready | {name: entry for name, entry in done.items() if name not in ready}

    def _ready(self) -> dict[str, tuple[str, str | Path, dict]]:
        """Those of `_sources` that are no runs'."""
        ready: dict = {name: ("bundled", folder, {}) for name, folder in bundled().items()}
        if self.wanted and self.wanted not in ready and self._of_named(self.wanted) is None:
            ready[self.wanted] = ("bundled", self._wanted_source, {})
        return ready

    def _of_named(self, name: object) -> tuple[str, Path, dict] | None:
        run = named_run(name, self.runs_dir)
        return run and _of_run(run)

    def _known(self, name: object) -> tuple[str, str | Path, dict] | None:
        """What `_sources` has of that name, without looking at all the others."""
        ready = self._ready()
        return ready[name] if isinstance(name, str) and name in ready else self._of_named(name)

    def models(self) -> list[dict]:
        """One dict a model: name, kind ("bundled", "run" or "live") and checkpoints.describe's facts."""
        return self._described(self._sources())

    def listed(self) -> list[dict]:
        """Those of `models` that the page lists, which are no more however many runs there are."""
        return self._described(self._sources(LISTED))

    def named(self, name: str) -> dict | None:
        """What `models` has of one name, without looking at all the others; None where it has none."""
        known = self._known(name)
        return next(iter(self._described({name: known})), None) if known else None

    def _described(self, sources: dict[str, tuple[str, str | Path, dict]]) -> list[dict]:
        found = []
        for name, (kind, source, more) in sources.items():
            try:
                facts = self._describe(source)
            except InputError:
                continue  # a run folder with a damaged checkpoint is no choice
            known = {key: value for key, value in more.items() if value is not None}
            found.append(facts | known | {"name": name, "kind": kind})
        return found

    def _describe(self, source: str | Path, model: AutoEncoder | None = None) -> dict:
        config = Path(source) / "config.json"
        key = f"{config.stat().st_mtime_ns if config.is_file() else 0} {source}"
        known = self._facts.get(key)
        if known is None:
            with self.audience.limits():
                known = describe(source if model is None else model)
            self._facts.put(key, known)
        return known

    def facts(self, name: str | None, model: AutoEncoder | None = None) -> dict:
        """describe's facts of the model called `name`, listed or not; with `model`, which is that one loaded,
        nothing is read for them. InputError if it cannot be read."""
        return self._describe(self.source(name), model) | {"name": name}

    def first(self) -> str | None:
        """The name of the model that opens first; None if there is none at all."""
        wanted = self.named(self.wanted) if self.wanted else None
        if wanted and wanted["kind"] != "live":
            return self.wanted
        if FIRST in bundled():
            return FIRST
        return next((model["name"] for model in self.listed() if model["kind"] != "live"), None)

    def counterpart(self, name: str | None) -> str | None:
        """The bundled model to be seen beside the one called `name`, to show what variational means.

        Trained on the same data, variational where that one is not or the reverse; of several the one most like it.
        None if there is none. Raises InputError if the model cannot be read.
        """
        name = name or self.first()
        own = (self.named(name) if name else None) or self.facts(name)
        data = (own["trained_on"] or "").casefold()

        def likeness(other: dict) -> tuple:
            return other["latent_shape"] != own["latent_shape"], abs(other["parameters"] - own["parameters"])

        others = [
            other
            for other in self._described(self._ready())
            if data and (other["trained_on"] or "").casefold() == data and other["variational"] != own["variational"]
        ]
        return min(others, key=likeness)["name"] if others else None

    def for_photographs(self) -> str | None:
        """The bundled model of colour photographs that keeps most of them; None if there is none."""
        colour = [model for model in self._described(self._ready()) if model["in_channels"] == 3]
        return min(colour, key=lambda model: model["compression"])["name"] if colour else None

    def kind(self, name: str) -> str | None:
        """ "bundled", "run" or "live"; None for a model that is not listed."""
        return (self._known(name) or (None,))[0]

    def source(self, name: str | None) -> str | Path:
        """What vae.load takes for the model called `name`; the first model for None, the live run for "live".

        A Hub id that is not listed is passed on as an address, which can be no path, and so is a folder or file on this
        machine for those who may open paths. Raises InputError if there is no such model.
        """
        if not name:
            name = self.first()
            if name is None:
                raise InputError("There is no model yet; train one in the Train tab.")
        if name == "live" and self._known(name) is None:
            name = next((n for n, entry in self._sources(LISTED).items() if entry[0] == "live"), None)
            if name is None:
                raise InputError("No training is running, so there is no live model.")
        if not isinstance(name, str):
            raise InputError(f"A model is chosen by its name, not by {str(name)[:80]!r}.")
        known = self._known(name)
        if known is not None:
            return known[1]
        path, name = self._outside(name)
        return name if path else HUB + name

    def beginning(self, name: object) -> str | None:
        """What a training takes for its `init` that is to go on from the model called `name`; None for no name.

        Raises InputError as `source` does.
        """
        name = str(name or "").strip()
        if not name:
            return None
        kind, source, _ = self._known(name) or ("", "", {})
        if kind in ("run", "live"):
            return str(self.runs_dir / name)
        return name if kind == "bundled" and name in bundled() else str(source or self.source(name))

    def outside(self, text: str) -> str:
        """What a visitor typed to open a model that is not listed: a Hub id in its short form, or a path as it is.

        Raises InputError for what is neither an id nor there, and for every path, there or not, if they may open none.
        """
        return self._outside(text)[1]

    def _outside(self, text: str) -> tuple[bool, str]:
        """`outside`'s answer, and whether that is a path."""
        text = text.strip()
        identifier, paths = hub.parse(text), self.audience.may_open_paths()
        if not text:
            raise InputError("Give a Hugging Face id like org/name" + (", a folder or a file." if paths else "."))
        if not paths and identifier is None:
            raise InputError(
                f"{text[:200]!r} is no Hugging Face id like org/name; on a public server that is all that can be "
                "opened, no files or folders."
            )
        if paths and _exists(text):
            return True, text
        if identifier is None:
            raise InputError(
                f"There is no model {text[:200]!r}: no folder or file of that name is on this machine, "
                "and a Hugging Face id looks like org/name."
            )
        within = f"/{identifier.subfolder}" if identifier.subfolder else ""
        revision = f"@{identifier.revision}" if identifier.revision else ""
        return False, identifier.repo + within + revision

    def run(self, name: str) -> Run:
        """The run called `name`. Raises InputError if there is none; a name never leads out of the runs' folder."""
        run = named_run(name, self.runs_dir)
        if run is None:
            raise InputError(f"There is no run {str(name)[:80]!r} here.")
        return run

    def histories(self) -> list[Run]:
        """What the page lists of all that can be watched: the runs, newest first, then bundled models that brought
        their metrics along, of which the one that opens first comes first."""
        kept = [Run(folder) for folder in bundled().values() if (folder / "metrics.jsonl").is_file()]
        return list_runs(self.runs_dir, LISTED) + sorted(kept, key=lambda run: run.name != FIRST)


def _of_run(run: Run) -> tuple[str, Path, dict] | None:
    """A run as Catalog._sources has it; None where it has no model yet."""
    folder = run.model_folder()
    if folder is None:
        return None
    state, data = run.state(), data_title(run.config().get("data"))
    if state["state"] in ACTIVE:
        return "live", folder, {"trained_on": data, "epoch": state.get("epoch", 0)}
    return "run", folder, {"trained_on": data}


def data_title(data: object) -> str | None:
    """What people call the data of a training: of a folder, an archive or an address its name, not where it lies."""
    if not data:
        return None
    text = str(data).removeprefix(ADDRESS)
    return Path(text).name if Path(text).is_absolute() or is_remote(text) else text


def _exists(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # no right to look, or no path at all
        return False


def version(models: list[dict]) -> str:
    """A short text that changes when the list does."""
    return hashlib.sha1(repr(models).encode(), usedforsecurity=False).hexdigest()[:12]
