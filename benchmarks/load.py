"""Many visitors at once, on all tabs, while a training runs: whether each gets their own, how soon, and what grows.

    python benchmarks/load.py                              50 visitors for 10 minutes
    python benchmarks/load.py --visitors 10 --minutes 2
    python benchmarks/load.py --quick                      some seconds; its figures mean nothing

Starts the app in a process of its own, as a public server behind a proxy that says where each visitor comes from, and
starts a training on the digits. Each visitor is a thread with a session of its own that does in turn what a page's
tabs do: reconstruct an image, by the endpoint and by the tab's event; sample and interpolate from seeds of its own;
look at the latent space; list the models; watch the training; upload a file and read it back. What comes back is
compared with what this visitor was answered the first time, alone: an image, seed or state of another's is a mix-up.
A visitor pauses between two actions, a second on average unless told otherwise. As JSON:

    calls, errors, mix_ups, first_error     all actions; of another's content; what the first error said
    seconds             of each action the median and the 95th percentile
    memory_mb           resident, of the server: after the first minute (or a tenth of the time), at the end, the most
    growth_percent      from the first to the second of them
    training            how far it has come
"""

import argparse
import base64
import hashlib
import http.client
import io
import json
import random
import statistics
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from served import Served, serving

MODEL = "mnist-vae"
API = "/gradio_api"


class Failed(Exception):
    """An answer that is none."""


class Visitor:
    """One visitor: a connection, a session, an image and a seed of their own, and what they know of these."""

    def __init__(self, served: Served, number: int):
        self.port, self.number, self.config = served.port, number, served.client.config
        self.session = f"visitor{number:04}"
        self.headers = {
            "X-Forwarded-For": f"198.18.{number // 250}.{1 + number % 250}",
            "Content-Type": "application/json",
        }
        self.image = drawing(number)
        self.seed = 1000 + number
        self.known: dict[str, str] = {}
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        self.watched: dict = {"page": self.session, "run": None, "follow": True, "cursors": {}, "list": None}

    # -- how a page and a client ask ------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        for last in (False, True):
            try:
                self.connection.request(method, path, body, self.headers | headers)
                answer = self.connection.getresponse()
                text = answer.read()
                break
            except (ConnectionError, http.client.HTTPException):  # kept open too long without a word
                self.connection.close()
                if last:
                    raise
        if answer.status != 200:
            raise Failed(f"{path}: {answer.status} {text[:200]!r}")
        return text

    def call(self, name: str, **arguments) -> list:
        found = json.loads(self._ask("POST", f"{API}/call/v2/{name}", json.dumps(arguments).encode()))
        text = self._ask("GET", f"{API}/call/{name}/{found['event_id']}").decode()
        event, _, data = text.rpartition("event: ")[2].partition("\ndata: ")
        if event != "complete":
            raise Failed(f"{name}: {event} {data[:200]}")
        return json.loads(data)

    def event(self, target: str, name: str, **changed: object) -> dict:
        """What the components show after an event of the page, by their numbers. changed: values of our components; the
        page's controls are as they were."""
        part = self.component(target)
        (entry,) = [d for d in self.config["dependencies"] if [part["id"], name] in d["targets"]]
        values = {c["id"]: c["props"].get("value") for c in self.config["components"]}
        values |= {self.component(known)["id"]: value for known, value in changed.items()}
        body = {
            "data": [values[each] for each in entry["inputs"]],
            "fn_index": entry["id"],
            "session_hash": self.session,
        }
        body["trigger_id"] = part["id"]
        self._ask("POST", f"{API}/queue/join", json.dumps(body).encode())
        text = self._ask("GET", f"{API}/queue/data?session_hash={self.session}").decode()
        messages = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        last = next(m for m in messages if m["msg"] == "process_completed")
        if not last["success"]:
            raise Failed(f"{target}.{name}: {last['output']}")
        return dict(zip(entry["outputs"], last["output"]["data"], strict=True))

    def script(self, function: str, data: object) -> dict:
        part = next(c for c in self.config["components"] if function in (c["props"].get("server_fns") or ()))
        body = {"data": data, "component_id": part["id"], "fn_name": function, "session_hash": self.session}
        return json.loads(self._ask("POST", f"{API}/component_server", json.dumps(body).encode()))

    def component(self, name: str) -> dict:
        return next(c for c in self.config["components"] if f'data-vs="{name}"' in str(c["props"].get("html_template")))

    def same(self, what: str, *content: object) -> None:
        """Raises Failed unless this is what this visitor has got before."""
        text = hashlib.sha256(repr(content).encode()).hexdigest()
        if self.known.setdefault(what, text) != text:
            raise MixUp(f"visitor {self.number} was answered another's {what}")

    # -- what a visitor does --------------------------------------------------------------------------------------

    def reconstruct(self) -> None:
        image, figures = self.call("reconstruct", image=self.upload(), model=MODEL, sample=True, seed=self.seed)
        if figures["seed"] != self.seed:
            raise MixUp(f"visitor {self.number} was answered the seed {figures['seed']}")
        self.same("reconstruction", self.file(image), figures["psnr"])

    def sample(self) -> None:
        image, facts = self.call("sample", model=MODEL, n=9, seed=self.seed)
        if facts["seed"] != self.seed:
            raise MixUp(f"visitor {self.number} was answered the seed {facts['seed']}")
        self.same("samples", self.file(image))

    def interpolate(self) -> None:
        animation, facts = self.call("interpolate", model=MODEL, seed_a=self.seed, seed_b=self.seed + 1, steps=8)
        if (facts["seed_a"], facts["seed_b"]) != (self.seed, self.seed + 1):
            raise MixUp(f"visitor {self.number} was answered the seeds of {facts}")
        self.same("animation", self.file(animation))

    def reconstruct_tab(self) -> None:
        uri = "data:image/png;base64," + base64.b64encode(self.image).decode()
        picture = {"kind": "inline", "uri": uri, "label": self.session}
        shown = self.event("image_input", "change", model_picker=MODEL, image_input=picture)
        value = shown[self.component("reconstruction")["id"]]
        value = {key: value[key] for key in ("original", "image", "psnr", "mean")}
        self.same("tab", value)

    def latent_space(self) -> None:
        found = self.script("latent_space_look", {"model": MODEL, "map": [0, 1], "at": self.number})
        if "error" in found:
            raise Failed(found["error"])
        self.same("place", found["z"], found["pictures"])

    def list_models(self) -> None:
        if MODEL not in [model["name"] for model in self.script("model_list", {})["models"]]:
            raise Failed("the list of models has not the bundled one")

    def watch(self) -> None:
        news = self.script("watch_run", self.watched)
        self.watched |= {"run": news["run"], "list": news["list"]["version"]}
        self.watched["cursors"] = {name: curve["cursor"] for name, curve in news["curves"].items()}

    def upload(self) -> dict:
        name = f"{self.session}.png"
        head = f'--part\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        form = {"Content-Type": "multipart/form-data; boundary=part"}
        path = json.loads(self._ask("POST", f"{API}/upload", head + self.image + b"\r\n--part--\r\n", **form))[0]
        if self._ask("GET", f"{API}/file={path}") != self.image:
            raise MixUp(f"visitor {self.number} has read another's upload")
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def file(self, answer: dict) -> bytes:
        return self._ask("GET", f"{API}/file={answer['path']}")


class MixUp(Failed):
    """Content of another visitor."""


ACTIONS = (
    Visitor.reconstruct,
    Visitor.sample,
    Visitor.interpolate,
    Visitor.reconstruct_tab,
    Visitor.latent_space,
    Visitor.list_models,
    Visitor.watch,
)


def drawing(number: int) -> bytes:
    """An image that no other visitor has, as a PNG."""
    pixels = np.random.default_rng(number).integers(0, 256, (28, 28), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Load:
    """The visitors at work, and what they met."""

    def __init__(self, served: Served, visitors: int, pause: float):
        self.visitors = [Visitor(served, number) for number in range(visitors)]
        self.pause, self.stop, self.lock = pause, threading.Event(), threading.Lock()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self.mix_ups: list[str] = []

    def introduce(self) -> None:
        """Each, alone, does everything once: what they are answered then is theirs."""
        for visitor in self.visitors:
            for action in ACTIONS:
                action(visitor)

    def run(self, seconds: float) -> None:
        threads = [threading.Thread(target=self._visit, args=(visitor,), daemon=True) for visitor in self.visitors]
        for thread in threads:
            thread.start()
        self.stop.wait(seconds)
        self.stop.set()
        for thread in threads:
            thread.join(130)

    def _visit(self, visitor: Visitor) -> None:
        chance = random.Random(visitor.number)
        while not self.stop.wait(chance.expovariate(1 / self.pause)):
            action, start = chance.choice(ACTIONS), time.perf_counter()
            try:
                action(visitor)
            except MixUp as error:
                with self.lock:
                    self.mix_ups.append(str(error))
            except Exception as error:
                with self.lock:
                    self.errors.append(f"{action.__name__}: {type(error).__name__}: {error}")
            with self.lock:
                self.seconds[action.__name__].append(time.perf_counter() - start)


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    pages = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(pages.split()[1]) / 1000


def spread(values: list[float]) -> dict:
    ordered = sorted(values)
    worst = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {"n": len(ordered), "median": round(statistics.median(ordered), 3), "p95": round(worst, 3)}


def measured(served: Served, visitors: int, seconds: float, pause: float) -> dict:
    load, memory = Load(served, visitors, pause), []
    load.introduce()
    run = served.runs / Visitor(served, 9000).call("train_start", data="digits", epochs=100_000)[0]["run"]
    while json.loads((run / "state.json").read_text())["state"] == "starting":
        time.sleep(0.1)
    begun = time.monotonic()
    watching = threading.Event()

    def watch() -> None:
        while not watching.wait(min(5.0, seconds / 20)):
            memory.append((time.monotonic() - begun, resident(served.pid)))

    threading.Thread(target=watch, daemon=True).start()
    load.run(seconds)
    watching.set()
    state = json.loads((run / "state.json").read_text())
    early = next(held for at, held in memory if at >= min(60.0, seconds / 10))
    last = statistics.median(held for _, held in memory[-3:])
    return {
        "visitors": visitors,
        "minutes": round(seconds / 60, 2),
        "calls": sum(map(len, load.seconds.values())),
        "errors": len(load.errors),
        "first_error": next(iter(load.errors + load.mix_ups), None),
        "mix_ups": len(load.mix_ups),
        "seconds": {name: spread(values) for name, values in sorted(load.seconds.items())},
        "memory_mb_over_time": [round(held) for _, held in memory[:: max(1, len(memory) // 12)]],
        "memory_mb": {"early": round(early), "end": round(last), "most": round(max(held for _, held in memory))},
        "growth_percent": round(100 * (last / early - 1), 1),
        "training": {key: state.get(key) for key in ("state", "reason", "epoch", "images_per_second")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two actions of a visitor, on average")
    parser.add_argument("--quick", action="store_true", help="3 visitors for 4 seconds")
    options = parser.parse_args()
    if options.quick:
        options.visitors, options.minutes, options.pause = 3, 4 / 60, 0.2
    public = {"VAE_PUBLIC": "on", "VAE_HOST": "off", "VAE_MAX_TRAIN_MINUTES": str(options.minutes + 5)}
    with serving(**public) as served:
        report = measured(served, options.visitors, 60 * options.minutes, options.pause)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
