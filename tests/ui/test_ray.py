"""Computing on a Ray cluster: what `python -m vae serve` starts, with two replicas, asked as the app asks."""

import importlib.util
import json
import os
import re
import runpy
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import httpx
import psutil
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")
if not importlib.util.find_spec("ray"):
    pytest.skip("no Ray: pip install 'ray[serve]'", allow_module_level=True)

from child_processes import command_of, family, running
from sticky_proxy import StickyProxy
from tiny_runs import tiny
from waiting import free_port

import vae
from vae import limits
from vae.errors import InputError
from vae.images import grid, png_bytes
from vae.inference import Draw
from vae.latents.priors import PriorNotFitted
from vae.ui.serving import remote
from vae.ui.serving.access import Audience
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.models import ModelServer
from vae.ui.serving.remote import RemoteModels
from vae.ui.serving.tasks import Stopped
from vae.ui.settings import Settings

REPO = Path(__file__).resolve().parents[2]
MODEL = "mnist-vae"
DIGIT = Image.linear_gradient("L").resize((28, 28))


@pytest.fixture(scope="module")
def place():
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # a socket's path is 107 characters at most
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(place):
    """The process that runs it, and the environment of those that ask it."""
    own = {
        "RAY_TMPDIR": str(place),
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_memory_monitor_refresh_ms": "0",  # what else runs here may fill the memory, and replicas would die of it
        "OMP_NUM_THREADS": "1",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "VAE_"))} | own
    command = [sys.executable, "-m", "vae", "serve", "--replicas", "2", "--cpus", "0.5"]
    with running(command, "Ready.", place / "log", environment) as process:
        address = (place / "log").read_text().partition("RAY_ADDRESS=")[2].split()[0]
        yield process, environment | {"RAY_ADDRESS": address, "VAE_SERVE": "ray", "RAY_AUTH_MODE": "token"}


@pytest.fixture(scope="module")
def another():
    """A process, and its id once it has imported this module, which takes a while."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool, pool.submit(own_id)


def own_id() -> int:
    return os.getpid()


@pytest.fixture(scope="module")
def there(place, another, cluster):
    """Calls a function of this module in a process where `page` is what an app's has. In the tests' own, Ray would not
    wait while a browser's event loop is there, nor would its threads end with the cluster."""
    pool, pid = another
    try:
        pool.submit(open_page, cluster[1], place / "runs").result(300)
        yield lambda function, *arguments: pool.submit(function, *arguments).result(300)
    finally:
        os.kill(pid.result(300), signal.SIGKILL)


def open_page(environment: dict[str, str], runs: Path) -> None:
    global page
    os.chdir(REPO)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    page = ModelServer(Catalog(runs), RemoteModels())


@pytest.fixture(scope="module")
def here(place):
    """What answers in this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there: the last bits depend on it
    yield ModelServer(Catalog(place / "runs"))
    torch.set_num_threads(threads)


ASKED = (
    lambda on: on.reconstruct(MODEL, DIGIT).image.tobytes(),
    lambda on: on.reconstruct(MODEL, DIGIT.convert("RGBA"), True, 4).posterior.logvar.tolist(),
    lambda on: on.reconstruct("dogs-vae", Image.radial_gradient("L").convert("RGB")).latent.tolist(),
    lambda on: on.reconstruct("mine", DIGIT).psnr,
    lambda on: on.sketch(MODEL, DIGIT, 28).image.tobytes(),
    lambda on: on.answer(on.compare_call("dogs-vae", "dogs-vae", DIGIT)).image.tobytes(),
    lambda on: on.answer(on.spread_call("dogs-vae", DIGIT, 3)).noise.tobytes(),
    lambda on: on.sample(MODEL, 5, 7, 0.9, None).pixels.tolist(),
    lambda on: on.sample(MODEL, 5, 7, 0.9, None, label="7").pixels.tolist(),
    lambda on: vars(on.sample("mnist-ae", 5, 7, 0.9, "flow")) | {"seconds": 0, "pixels": 0},
    lambda on: on.interpolate(MODEL, [DIGIT, Draw(1)], 4, None).pixels.tolist(),
    lambda on: on.interpolate(MODEL, [torch.ones(64), 2], 4, "slerp").pixels.tolist(),
    lambda on: on.decode(MODEL, torch.ones(2, 4, 4, 4)).tolist(),
    lambda on: on.open("fashion-vae"),
)


def answers() -> list:
    return [ask(page) for ask in ASKED]


def test_a_call_gives_the_same_bytes_as_in_process(there, here, place):
    vae.fit(tiny(epochs=1), place / "runs" / "mine", device="cpu")
    for number, (theirs, ask) in enumerate(zip(there(answers), ASKED, strict=True)):
        assert theirs == ask(here), number


REFUSED = (
    lambda on: on.sample(MODEL, 1, 0, 1.0, "diffusion"),
    lambda on: on.sample(MODEL, 10**6, 0, 1.0, "normal"),
    lambda on: on.interpolate(MODEL, [1, 2, 3], 4, "slerp"),
    lambda on: on.open("no-such-owner/none@main"),
)


def refusals(on: ModelServer | None = None) -> list[tuple]:
    found = []
    for ask in REFUSED:
        with pytest.raises(InputError) as refused:
            ask(on or page)
        found.append((refused.type, str(refused.value), vars(refused.value)))
    return found


def test_what_is_refused_there_is_the_same_sentence_here(there, here):
    found = there(refusals)
    assert found == refusals(here)
    kind, _, facts = found[0]
    assert kind is PriorNotFitted and facts["prior"] == "diffusion"


def asked_by_a_stranger(runs: Path, side: int) -> str:
    audience = Audience(Settings(None, runs, True, None, public=True))
    strangers = ModelServer(Catalog(runs, audience=audience), page.backend)
    with pytest.raises(InputError) as refused:
        strangers.reconstruct("dogs-vae", Image.new("L", (side, side)), max_side=None, tile=0)
    return str(refused.value)


def test_strangers_are_held_to_their_share_there(there, place):
    bytes_per_pixel = 4 * vae.load("dogs-vae", device="cpu").config.floats_per_pixel
    side = int((0.4 * limits.memory() / bytes_per_pixel) ** 0.5)  # the host could have it
    sentence = there(asked_by_a_stranger, place / "runs", side)
    assert re.match(r"An image of .* pixels .* would take about", sentence), sentence


def left_alone() -> tuple[float, float]:
    """Seconds until a long call has ended that nobody waits for, and until its replica has answered another."""

    def leave(what, share):
        if what == "Computing":
            raise Stopped

    begun = time.monotonic()
    with pytest.raises(Stopped):
        page.interpolate("dogs-vae-16", [Draw(1), Draw(2)], 2000, "slerp", report=leave)
    ended = time.monotonic() - begun
    page.reconstruct("dogs-vae-16", DIGIT)
    return ended, time.monotonic() - begun


def test_a_call_that_nobody_waits_for_ends(there):
    ended, answered = there(left_alone)
    assert ended < 30 and answered < 60, "the replica goes on with others"


def samples_while_one_dies(replica: int) -> list:
    done = threading.Semaphore(0)

    def kill() -> None:
        for _ in range(60):
            done.acquire()
        os.kill(replica, signal.SIGKILL)

    def ask(seed: int) -> list:
        found = page.sample(MODEL, 1, seed, 1.0, "normal").pixels.tolist()
        done.release()
        return found

    with ThreadPoolExecutor(9) as pool:
        killed = pool.submit(kill)
        found = list(pool.map(ask, range(200)))
        killed.result()
    return found


def test_a_replica_killed_in_the_middle_loses_no_call(there, here, cluster):
    expected = [here.sample(MODEL, 1, seed, 1.0, "normal").pixels.tolist() for seed in range(200)]
    replicas = [one.pid for one in family(cluster[0].pid) if command_of(one).startswith("ray::ServeReplica")]
    assert len(replicas) == 2
    assert there(samples_while_one_dies, replicas[0]) == expected


def from_batches() -> tuple[bytes, list]:
    """What a digit, alone, and samples of eight calls at a time are where passes are made together."""
    from ray import serve

    from vae.ui.serving.ray_app import application

    backend = RemoteModels()
    backend._handle = serve.run(application(1, 1, 0.0, 0.0, batch=8), name="batched", route_prefix=None)
    batched = ModelServer(page.catalog, backend)
    alone = batched.reconstruct(MODEL, DIGIT).image.tobytes()
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda seed: batched.sample(MODEL, 1 + seed % 3, seed, 1.0, "normal").pixels, range(48))
        return alone, [pixels.tolist() for pixels in found]


def test_passes_of_several_calls_are_made_together_and_are_their_own(there, here):
    alone, found = there(from_batches)
    assert alone == here.reconstruct(MODEL, DIGIT).image.tobytes()
    for seed, pixels in enumerate(map(torch.tensor, found)):
        own = here.sample(MODEL, 1 + seed % 3, seed, 1.0, "normal").pixels
        assert pixels.shape == own.shape and (pixels - own.int()).abs().max() <= 1


def benchmark() -> dict:
    script = runpy.run_path(str(REPO / "benchmarks" / "serve.py"))
    return script["one"](Namespace(model=MODEL, seconds=0.5, clients=2))


def test_the_benchmark_measures_both_ways(there):
    found = there(benchmark)
    assert set(found) == {"ray", "here"} and all(way["calls_a_second"] > 0 for way in found.values())


def test_more_replicas_than_there_is_room_for_are_refused(cluster):
    command = [sys.executable, "-m", "vae", "serve", "--replicas", "1000"]
    done = subprocess.run(command, cwd=REPO, env=cluster[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Error: 1000 replicas with 1 CPU each need more than the " in done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def fronts(cluster, place):
    """The ports of two app processes, which share nothing but the cluster."""
    ports = [free_port(), free_port()]

    def front(port: int):
        own = {
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": str(place / f"files-{port}"),
            "VAE_RUNS_DIR": str(place / "runs"),
            "PYTHONUNBUFFERED": "1",
        }
        return running([sys.executable, "app.py"], "Running on", place / f"log-{port}", cluster[1] | own)

    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        list(pool.map(stack.enter_context, map(front, ports)))
        yield ports


def sample_call(address: str) -> Callable[[int], dict]:
    """What asks the app there for one sample, by its seed."""
    config, info = (httpx.get(address + path).json() for path in ("/config", "/gradio_api/info"))
    index = next(event["id"] for event in config["dependencies"] if event["api_name"] == "sample")
    parameters = info["named_endpoints"]["/sample"]["parameters"]
    defaults = {each["parameter_name"]: each["parameter_default"] for each in parameters}
    own = {"model": MODEL, "n": 1}
    return lambda seed: {"fn_index": index, "data": list((defaults | own | {"seed": seed}).values())}


def session(address: str, call: Callable[[int], dict], seed: int) -> bytes:
    """What one visitor's page does: opens, asks for a sample, waits for it, fetches it. The PNG."""
    name = secrets.token_hex(6)
    with httpx.Client(base_url=address, timeout=60.0) as visitor:
        visitor.get("/").raise_for_status()
        visitor.post("/gradio_api/queue/join", json=call(seed) | {"session_hash": name}).raise_for_status()
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
    call = sample_call(proxy.address)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: session(proxy.address, call, seed), range(60)))
    for seed, png in enumerate(found):
        assert png == png_bytes(grid(here.sample(MODEL, 1, seed, 1.0, "normal").pixels)), "each its own"
    assert all(count > 30 for count in proxy.counts.values()), proxy.counts  # chance sends half of them to each
    with pytest.raises(AssertionError, match="session_not_found"):
        session(fickle.address, call, 0)
    for server in (proxy, fickle):
        server.shutdown()


def cut_off() -> tuple[str, bool]:
    """What a call says when no replica is left; and once the connection is gone, whether another cluster was begun."""
    import ray
    from ray import serve

    from vae.ui.serving.ray_app import APP

    remote.TRIES = 1
    serve.delete(APP)
    with pytest.raises(InputError) as unanswered:
        page.sample(MODEL, 1, 0, 1.0, "normal")
    ray.shutdown()
    with pytest.raises(Exception):  # noqa: B017 (which one is for Ray to say)
        page.sample(MODEL, 1, 0, 1.0, "normal")
    return str(unanswered.value), ray.is_initialized()


# The last two end what the others use.
def test_a_page_that_lost_its_cluster_says_so_and_begins_none_of_its_own(there):
    assert there(cut_off) == (remote.NO_ANSWER, False)


def test_a_cluster_that_is_told_to_end_leaves_nothing(cluster):
    process, _ = cluster
    started = family(process.pid)
    process.terminate()
    assert process.wait(120) == 0
    _, left = psutil.wait_procs(started, timeout=60)
    assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]
