"""Computing on a Ray cluster: what `python -m vae serve` starts, with two replicas, asked as the app asks."""

import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")
if not importlib.util.find_spec("ray"):  # it is imported once it was told where to listen
    pytest.skip("no Ray: pip install 'ray[serve]'", allow_module_level=True)

from sticky_proxy import StickyProxy
from tiny_runs import tiny

import vae
from vae import limits
from vae.errors import InputError
from vae.images import grid, png_bytes
from vae.inference import Draw
from vae.latents.priors import PriorNotFitted
from vae.ui.serving.access import Audience
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.models import ModelServer
from vae.ui.serving.remote import RemoteModels
from vae.ui.serving.tasks import Stopped
from vae.ui.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
REPO = Path(__file__).resolve().parents[2]
MODEL = "mnist-vae"
DIGIT = Image.linear_gradient("L").resize((28, 28))


def started(command: list[str], ready: str, log: Path, environment: dict) -> subprocess.Popen:
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=REPO, env=environment, stdout=file, stderr=file)
    patience = time.monotonic() + 120
    while ready not in log.read_text():
        if process.poll() is not None or time.monotonic() > patience:
            process.kill()
            pytest.fail(log.read_text()[-3000:])
        time.sleep(0.1)
    return process


@pytest.fixture(scope="module")
def place():
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # not pytest's: a socket's path is 107 characters at most
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def environment(place):
    """What the cluster's processes are told."""
    own = {"RAY_TMPDIR": str(place), "RAY_AUTH_TOKEN": secrets.token_hex(32), "OMP_NUM_THREADS": "1"}
    return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "VAE_"))} | own


@pytest.fixture(scope="module")
def cluster(place, environment):
    """The process that runs it, and in the environment where it is."""
    command = [sys.executable, "-m", "vae", "serve", "--replicas", "2", "--cpus", "0.5"]
    process = started(command, "Ready.", place / "log", environment)
    address = (place / "log").read_text().partition("RAY_ADDRESS=")[2].split()[0]
    yield process, environment | {"RAY_ADDRESS": address, "VAE_SERVE": "ray", "RAY_AUTH_MODE": "token"}
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="module")
def server(place, cluster):
    """As an app's process has it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there: the last bits depend on it
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster[1].items():
            if name.startswith("RAY_"):
                patch.setenv(name, value)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        yield ModelServer(Catalog(place / "runs"), RemoteModels())
        sys.modules["ray"].shutdown()
    torch.set_num_threads(threads)


@pytest.fixture
def here(place):
    return ModelServer(Catalog(place / "runs"))


def processes(root: int) -> dict[int, str]:
    """The commands of a process's descendants, by process id."""
    lines = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout.splitlines()
    parents = {int(pid): (int(parent), command) for pid, parent, command in (line.split(None, 2) for line in lines)}
    found = {root: ""}
    while more := {pid: c for pid, (parent, c) in parents.items() if parent in found and pid not in found}:
        found |= more
    return found


def test_a_call_gives_the_same_bytes_as_in_process(server, here, place):
    vae.fit(tiny(epochs=1), place / "runs" / "mine", device="cpu")
    asked = (
        lambda on: on.reconstruct(MODEL, DIGIT).image.tobytes(),
        lambda on: on.reconstruct(MODEL, DIGIT.convert("RGBA"), True, 4).posterior.logvar.tolist(),
        lambda on: on.reconstruct("dogs-vae", Image.radial_gradient("L").convert("RGB")).latent.tolist(),
        lambda on: on.reconstruct("mine", DIGIT).psnr,
        lambda on: on.answer(on.compare_call("dogs-vae", "dogs-vae", DIGIT)).image.tobytes(),
        lambda on: on.answer(on.spread_call("dogs-vae", DIGIT, 3)).noise.tobytes(),
        lambda on: on.sample(MODEL, 5, 7, 0.9, None).pixels.tolist(),
        lambda on: vars(on.sample("mnist-ae", 5, 7, 0.9, "flow")) | {"seconds": 0, "pixels": 0},
        lambda on: on.interpolate(MODEL, [DIGIT, Draw(1)], 4, None).pixels.tolist(),
        lambda on: on.interpolate(MODEL, [torch.ones(64), 2], 4, "slerp").pixels.tolist(),
        lambda on: on.decode(MODEL, torch.ones(2, 4, 4, 4)).tolist(),
        lambda on: on.open("fashion-vae"),
    )
    for ask in asked:
        assert ask(server) == ask(here)


def test_what_is_refused_there_is_the_same_sentence_here(server, here):
    for ask in (
        lambda on: on.sample(MODEL, 1, 0, 1.0, "diffusion"),
        lambda on: on.sample(MODEL, 10**6, 0, 1.0, "normal"),
        lambda on: on.interpolate(MODEL, [1, 2, 3], 4, "slerp"),
        lambda on: on.open("no-such-owner/none@main"),
    ):
        with pytest.raises(InputError) as theirs:
            ask(server)
        with pytest.raises(InputError) as ours:
            ask(here)
        assert type(theirs.value) is type(ours.value) and str(theirs.value) == str(ours.value)
    with pytest.raises(PriorNotFitted) as refused:
        server.sample(MODEL, 1, 0, 1.0, "diffusion")
    assert refused.value.prior == "diffusion"


def test_strangers_are_held_to_their_share_there(server, place):
    audience = Audience(Settings(None, place / "runs", True, None, public=True))
    strangers = ModelServer(Catalog(place / "runs", audience=audience), server.backend)
    bytes_per_pixel = 4 * vae.load("dogs-vae", device="cpu").config.floats_per_pixel
    side = int((0.4 * limits.memory() / bytes_per_pixel) ** 0.5)  # the host could have it
    with pytest.raises(InputError, match=r"An image of .* pixels .* would take about"):
        strangers.reconstruct("dogs-vae", Image.new("L", (side, side)), max_side=None, tile=0)


def test_a_call_that_nobody_waits_for_ends(server):
    def leave(what, share):
        if what == "Computing":
            raise Stopped

    begun = time.monotonic()
    with pytest.raises(Stopped):
        server.interpolate("dogs-vae-16", [Draw(1), Draw(2)], 2000, "slerp", report=leave)
    assert time.monotonic() - begun < 5
    server.reconstruct("dogs-vae-16", DIGIT)
    assert time.monotonic() - begun < 15, "the replica goes on with others"


def test_a_replica_killed_in_the_middle_loses_no_call(server, here, cluster):
    expected = [here.sample(MODEL, 1, seed, 1.0, "normal").pixels for seed in range(200)]
    replicas = [pid for pid, command in processes(cluster[0].pid).items() if command.startswith("ray::ServeReplica")]
    assert len(replicas) == 2
    done, killed = threading.Semaphore(0), []

    def kill():
        for _ in range(60):
            done.acquire()
        os.kill(replicas[0], signal.SIGKILL)
        killed.append(replicas[0])

    def ask(seed: int):
        found = server.sample(MODEL, 1, seed, 1.0, "normal").pixels
        done.release()
        return found

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(200)))
    killer.join()
    assert killed and all(map(torch.equal, found, expected))


def test_passes_of_several_calls_are_made_together_and_are_their_own(server, here):
    from ray import serve

    from vae.ui.serving.ray_app import application

    handle = serve.run(application(1, 1, 0.0, 0.0, batch=8), name="batched", route_prefix=None)
    backend = RemoteModels()
    backend._handle = handle
    batched = ModelServer(server.catalog, backend)
    assert batched.reconstruct(MODEL, DIGIT).image.tobytes() == here.reconstruct(MODEL, DIGIT).image.tobytes(), "alone"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: batched.sample(MODEL, 1 + seed % 3, seed, 1.0, "normal").pixels, range(48)))
    for seed, pixels in enumerate(found):
        own = here.sample(MODEL, 1 + seed % 3, seed, 1.0, "normal").pixels
        assert pixels.shape == own.shape and (pixels.int() - own.int()).abs().max() <= 1
    serve.delete("batched")


def test_more_replicas_than_there_is_room_for_are_refused(cluster):
    command = [sys.executable, "-m", "vae", "serve", "--replicas", "1000"]
    done = subprocess.run(command, cwd=REPO, env=cluster[1], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "Error: 1000 replicas with 1 CPU each need more than the " in done.stderr.splitlines()[-1]


def test_the_benchmark_measures_both_ways(cluster):
    command = [sys.executable, "benchmarks/serve.py", "--child", "--seconds", "0.5", "--clients", "2"]
    environment = cluster[1] | {"PYTHONPATH": str(REPO)}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"ray", "here"} and all(way["calls_a_second"] > 0 for way in found.values())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def fronts(cluster, place):
    """The ports of two app processes, which share nothing but the cluster."""
    ports, running = [free_port(), free_port()], []
    with ThreadPoolExecutor() as pool:

        def start(port: int) -> subprocess.Popen:
            own = {
                "GRADIO_SERVER_PORT": str(port),
                "GRADIO_SERVER_NAME": "127.0.0.1",
                "GRADIO_ANALYTICS_ENABLED": "False",
                "GRADIO_TEMP_DIR": str(place / f"files-{port}"),
                "VAE_RUNS_DIR": str(place / "runs"),
                "PYTHONUNBUFFERED": "1",
            }
            return started([sys.executable, "app.py"], "Running on", place / f"log-{port}", cluster[1] | own)

        running = list(pool.map(start, ports))
    yield ports
    for process in running:
        process.terminate()
        process.wait(20)


def session(address: str, seed: int, index: int, patience: float = 60.0) -> bytes:
    """What one visitor's page does: opens, asks for a sample, waits for it, fetches it. The PNG."""
    name = secrets.token_hex(6)
    with httpx.Client(base_url=address, timeout=patience) as visitor:
        visitor.get("/").raise_for_status()
        asked = {"fn_index": index, "session_hash": name, "data": [MODEL, 1, seed, 1.0, "normal"]}
        visitor.post("/gradio_api/queue/join", json=asked).raise_for_status()
        with visitor.stream("GET", "/gradio_api/queue/data", params={"session_hash": name}) as events:
            events.raise_for_status()
            for line in events.iter_lines():
                news = json.loads(line.removeprefix("data: ")) if line else {}
                if news.get("msg") == "process_completed":
                    assert news["success"], news
                    path = news["output"]["data"][0]["path"]
                    return visitor.get(f"/gradio_api/file={path}").raise_for_status().content
                assert "error" not in news.get("msg", ""), news
    raise AssertionError("no answer")


def test_two_fronts_behind_a_sticky_balancer_serve_all_sessions(fronts, here):
    proxy, fickle = StickyProxy(fronts), StickyProxy(fronts, sticky=False)
    config = httpx.get(f"{proxy.address}/config").json()
    index = next(event["id"] for event in config["dependencies"] if event["api_name"] == "sample")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: session(proxy.address, seed, index), range(200)))
    for seed, png in enumerate(found):
        assert png == png_bytes(grid(here.sample(MODEL, 1, seed, 1.0, "normal").pixels)), "each its own"
    assert all(count > 200 for count in proxy.counts.values()), proxy.counts
    with pytest.raises(AssertionError, match="session_not_found"):
        session(fickle.address, 0, index, patience=10.0)
    for server in (proxy, fickle):
        server.shutdown()
