"""What pages that watch trainings are told, about once a second: only what is new since they last asked."""

import base64
import csv
import io
import threading
import time

from vae import sidecar
from vae.errors import InputError
from vae.latents import priors
from vae.training import metrics_file, prior_run
from vae.training.runs import ACTIVE, Run
from vae.ui.serving.access import owners
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.lru_cache import LruCache
from vae.ui.training.metric_rows import Tail, short

COMPARED = 6  # runs in one chart
FRESH = 0.5  # seconds for which what was read of a folder serves all who ask
TAILS = 16  # runs whose rows are kept in memory
ASKS = 3  # answers a second in all; where more pages watch, each is told to ask less often
LONGEST = 8.0  # seconds between two asks of a page
ADDRESSES, THEIRS, NEW = 1000, 24, 12  # addresses that are told apart; pages of one; of these, that asked once only
FETCHED = 12  # previews in one answer
KINDS = ("samples", "reconstruction")
OF_PRIOR = ("state", "reason", "step", "steps", "share", "seconds_left")
PREVIEW_FIELDS = ("step", "epoch", *KINDS)  # of a preview's row, in its order: of each kind whether there is one
STATE = ("state", "reason", "epoch", "epochs", "step", "steps", "images_per_second", "seconds_left", "skipped")
FIELDS = ("epoch", "step", "kind", "loss", "reconstruction", "kl", "val_loss", "val_reconstruction", "val_kl",
          "learning_rate", "images_per_second", "seconds")  # fmt: skip


class Watcher:
    """Answers the component "training". Its script calls it directly, so it trusts nothing it is sent."""

    def __init__(self, catalog: Catalog):
        self.catalog = catalog
        self._lock = threading.Lock()
        self._tails: LruCache[Tail] = LruCache(TAILS)
        self._bests: dict[str, tuple] = {}
        self._glances: dict[str, tuple[float, dict]] = {}
        # Of each address which page asked when last, and whether that was not the first time.
        self._pages: dict[str, dict[str, tuple[float, bool]]] = {}
        self._counted = 0.0
        # The list of runs: each entry with the version at which it last changed. Versions begin at the clock, so that
        # what a page knows from before a restart is older than all there is now.
        self._version = self._members = time.time_ns() // 1_000_000
        self._runs: dict[str, Run] = {}
        self._entries: dict[str, tuple[int, dict, frozenset[str]]] = {}
        self._listed_at = 0.0

    # -- what the script calls ------------------------------------------------------------------------------------

    def watch_run(self, known: object) -> dict:
        """What is new.

        known: {page, run, follow, list, cursors, seen, token}: a name the page gave itself, the run that is looked at,
        whether to change to a training that has begun, the version of the list, the cursor of each run that is drawn,
        the step of the last preview that is known, and the visitor's token. Whatever is missing or makes no sense
        counts as not known.
        """
        known = known if isinstance(known, dict) else {}
        who = self.catalog.audience.visitor(known.get("token"))
        with self._lock:
            self._list(now=known.get("run") not in self._runs)
            run = self._choose(known.get("run"), bool(known.get("follow")))
            news = {"run": run and run.name, "list": self._list_since(known.get("list"), who.keys), "host": who.host}
            news["wait"] = self._wait(who.address or "", known.get("page"), run)
            if run is None:
                return news | {"curves": {}, "state": {}, "previews": [], "has_model": False, "prior": None}
            cursors = known["cursors"] if isinstance(known.get("cursors"), dict) else {}
            names = [run.name, *(name for name in cursors if name in self._runs and name != run.name)][:COMPARED]
            news["curves"] = {name: self._curve(name, cursors.get(name)) for name in names}
            seen = known.get("seen") if known.get("run") == run.name else None
            if type(seen) is not int or news["curves"][run.name].get("reset"):
                seen = -1
            glance = self._glance(run)
            new = [preview for preview in glance["previews"] if preview["step"] > seen]
            previews = [[preview.get(name, 0) for name in PREVIEW_FIELDS] for preview in new]
            return news | {"previews": previews} | {name: glance[name] for name in ("state", "has_model", "prior")}

    def see_previews(self, asked: object) -> dict:
        """Previews of a run, a few at once: asked {run, wanted: [[kind, step], …]} -> {"kind-step": data URI}."""
        asked = asked if isinstance(asked, dict) else {}
        run = self._run(asked.get("run"))
        wanted = [tuple(w) for w in asked.get("wanted") or () if isinstance(w, list) and len(w) == 2][:FETCHED]
        found = {}
        of_prior = prior_run.of(run) if run else None
        for preview in [*run.previews(), *(of_prior.previews() if of_prior else ())] if run and wanted else ():
            if (preview["kind"], preview["step"]) in wanted:
                try:
                    data = preview["path"].read_bytes()
                except OSError:  # removed meanwhile
                    continue
                uri = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
                found[f"{preview['kind']}-{preview['step']}"] = uri
        return found

    def curves_csv(self, names: object) -> str:
        """The whole metrics of the runs named as CSV, a line each."""
        chosen = (self._run(name) for name in (names[:COMPARED] if isinstance(names, list) else ()))
        lines = [{"run": run.name, **entry} for run in chosen if run for entry in run.metrics()]
        more = dict.fromkeys(name for line in lines for name in line if name not in ("run", *FIELDS))
        text = io.StringIO()
        table = csv.DictWriter(text, ("run", *FIELDS, *more), lineterminator="\n")
        table.writeheader()
        table.writerows(lines)
        return text.getvalue()

    # -- how it is known ------------------------------------------------------------------------------------------

    def _run(self, name: object) -> Run | None:
        with self._lock:
            self._list(now=False)
            return self._runs.get(name) if isinstance(name, str) else None

    def _list(self, now: bool) -> None:
        if not now and time.monotonic() - self._listed_at < FRESH:
            return
        runs = {run.name: run for run in reversed(self.catalog.histories())}  # of two names the first
        runs = dict(reversed(runs.items()))
        entries = {name: self._entry(run) for name, run in runs.items()}
        changed = [name for name, entry in entries.items() if entry != self._entries.get(name, (0, None, None))[1:]]
        moved = list(runs) != list(self._runs)
        if changed or moved:
            self._version += 1
            kept = {name: self._entries.get(name) for name in entries}
            self._entries = {n: (self._version, *entries[n]) if n in changed else kept[n] for n in entries}
            self._members = self._version if moved else self._members
        folders = {str(run.folder) for run in runs.values()}
        self._bests = {folder: best for folder, best in self._bests.items() if folder in folders}
        self._runs, self._listed_at = runs, time.monotonic()

    def _entry(self, run: Run) -> tuple[dict, frozenset[str]]:
        """A run for the list, and who owns it."""
        kept = (run.folder / "state.json").is_file()
        state = run.state() if kept else {"state": "finished"}
        entry = {"name": run.name, "state": state["state"], "best": short(self._best(run, state))}
        entry |= {"epoch": state.get("epoch"), "epochs": state.get("epochs"), "started": state.get("started")}
        if not kept:  # it came with a bundled model, of whose training only the metrics were kept
            epochs = self._tail(run).last_epoch.get("epoch")
            entry |= {"epoch": epochs, "epochs": epochs, "bundled": True}
        entry["started"] = entry["started"] and int(entry["started"])
        return entry, owners(run)

    def _best(self, run: Run, state: dict) -> float | None:
        """The lowest validation loss: as the run's state says, or its metrics where they are from before it did."""
        if "best" in state:
            return state["best"]
        try:
            status = (run.folder / "metrics.jsonl").stat()
        except OSError:
            return None
        stamp, known = (status.st_ino, status.st_size), self._bests.get(str(run.folder))
        if known is None or known[0] != stamp:
            known = self._bests[str(run.folder)] = (stamp, metrics_file.best(run.folder))
        return known[1]

    def _tail(self, run: Run) -> Tail:
        key = str(run.folder)
        tail = self._tails.get(key) or Tail(run)
        self._tails.put(key, tail)
        return tail.refresh()

    def _list_since(self, version: object, keys: frozenset[str]) -> dict:
        """The entries changed since that version; and all names, newest first, if any has come or gone."""
        at = version if type(version) is int and version <= self._version else -1
        new = [(entry, owned) for changed, entry, owned in self._entries.values() if changed > at]
        news = {"version": self._version, "changed": [e | {"mine": True} if o & keys else e for e, o in new]}
        return news | ({"names": list(self._runs)} if self._members > at else {})

    def _choose(self, name: object, follow: bool) -> Run | None:
        run = self._runs.get(name) if isinstance(name, str) else None
        if run is None or (follow and not self._live(run.name)):
            newest = next((r for n, r in self._runs.items() if self._live(n)), None)
            run = newest or run or next(iter(self._runs.values()), None)
        return run

    def _live(self, name: str) -> bool:
        return self._entries[name][1]["state"] in ACTIVE

    def _curve(self, name: str, cursor: object) -> dict:
        run, tail = self._runs[name], self._tail(self._runs[name])
        rows, cursor, reset = tail.since(cursor)
        per_epoch = self._glance(run)["per_epoch"] or tail.per_epoch
        curve = {"rows": rows, "cursor": cursor, "per_epoch": per_epoch} | ({"reset": True} if reset else {})
        return curve | ({"more": tail.more} if rows and tail.more else {})

    def _glance(self, run: Run) -> dict:
        """The run's state and which previews it has: of each step its number, its epoch, and 1 for each of KINDS."""
        key = str(run.folder)
        read, glance = self._glances.get(key, (0.0, {}))
        if time.monotonic() - read < FRESH:
            return glance
        if (run.folder / "state.json").is_file():
            state = run.state()
        else:
            last = self._tail(run).last_epoch
            ended = {"epochs": last.get("epoch"), "steps": last.get("step"), "state": "finished"}
            state = {name: last.get(name) for name in STATE} | ended
        previews: dict[int, dict[str, int]] = {}
        for preview in run.previews():
            if preview["kind"] in KINDS:
                known = {"step": preview["step"], "epoch": preview["epoch"]}
                previews.setdefault(preview["step"], known)[preview["kind"]] = 1
        glance = {
            "state": {name: short(state[name]) for name in STATE if state.get(name) is not None},
            "per_epoch": state.get("epoch_steps"),
            "previews": list(previews.values()),
            "has_model": run.model_folder() is not None or (run.folder / "model.safetensors").is_file(),
            "prior": self._prior(run),
        }
        self._glances = {k: v for k, v in self._glances.items() if time.monotonic() - v[0] < 60}
        self._glances[key] = (time.monotonic(), glance)
        return glance

    @staticmethod
    def _prior(run: Run) -> dict | None:
        """Of the run's diffusion prior: whether it draws already, and while it trains or was stopped what its state
        says of that, and the update after which it drew last. None if there is none."""
        weights = run.model_folder()
        drawable = bool(weights) and "diffusion" in sidecar.content(weights / priors.FILE).get("priors", {})
        training = prior_run.of(run)
        try:
            state = training.state() if training else {}
        except InputError:  # it has just finished
            state = {}
        if not state:
            return {"drawable": True} if drawable else None
        found = {name: short(state[name]) for name in OF_PRIOR if state.get(name) is not None}
        seen = [preview["step"] for preview in training.previews()]
        return found | {"drawable": drawable} | ({"seen": seen[-1]} if seen else {})

    def _wait(self, address: str, page: object, run: Run | None) -> int:
        """Milliseconds until this page should ask again: the more pages, and the less happens, the longer."""
        now, page = time.monotonic(), page[:40] if isinstance(page, str) else ""
        if now - self._counted > 5.0:
            recent = {a: {p: f for p, f in of.items() if now - f[0] < 2 * LONGEST} for a, of in self._pages.items()}
            self._pages, self._counted = {address: pages for address, pages in recent.items() if pages}, now
        theirs = self._pages.get(address, {})
        new = sum(not again for _, again in theirs.values())
        # Names beyond the limits are not kept, so that whoever makes up many slows nobody else, and little themselves.
        room = len(theirs) < THEIRS and new < NEW and (theirs or len(self._pages) < ADDRESSES)
        if page in theirs or room:
            self._pages.setdefault(address, theirs)[page] = now, page in theirs
        pace = 1.0 if run is not None and self._live(run.name) else 2.0
        return round(1000 * min(LONGEST, max(pace, len(theirs) / ASKS, len(self._pages) / ASKS)))
