"""Models from a Hub on loopback. The client reads its settings when it is imported, so one process of its own does
all the reading and reports, and the tests look at what it found and at what the Hub was asked for."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub
from family_peers import peer
from native_peers import to_efficientvit
from peers import diffusers_kl, diffusers_tiny, to_compvis, to_taesd, write_folder
from safetensors.torch import save_file

from vae.checkpoints.hub import HubId, _polite, parse
from vae.errors import InputError

WORKER = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from dataclasses import replace
import vae
from vae import limits
from vae.checkpoints import hub
from vae.checkpoints.store import push

for line in sys.stdin:
    job = json.loads(line)
    seen = []
    try:
        if job.pop("push", None):
            answer = {"url": push(**job)}
        else:
            if job.get("stranger"):
                limits.STRANGER = replace(limits.STRANGER, download=job["stranger"])
                hub.CACHED = job["cached"]
            with limits.for_strangers(bool(job.pop("stranger", False))):
                job.pop("cached", None)
                model = vae.load(job.pop("source"), progress=lambda done, total: seen.append((done, total)), **job)
            first = next(iter(model.parameters())).flatten()[:4].tolist()
            answer = {"first": first, "space": model.config.latent_space}
    except vae.InputError as error:
        answer = {"refused": str(error)}
    cache = Path(os.environ["HF_HUB_CACHE"])
    files = sorted(p.relative_to(cache).as_posix() for p in cache.rglob("*") if p.is_file() and "snapshots" in p.parts)
    theirs = hub.strangers_cache()
    visitors = sorted(p.name for p in theirs.glob("models--*") if any(p.rglob("*.safetensors")))
    print(json.dumps({**answer, "progress": seen, "cache": files, "visitors": visitors}), flush=True)
"""


@pytest.fixture(scope="module")
def models():
    return {
        "kl": diffusers_kl(widths=(8, 16), norm_num_groups=4),
        "tiny": diffusers_tiny(width=8),
        "wide": diffusers_kl(),
        "dc": peer("DC as in Sana"),
    }


@pytest.fixture(scope="module")
def hub(tmp_path_factory, models):
    root = tmp_path_factory.mktemp("hub")
    kl, tiny = models["kl"], models["tiny"]
    kl.save_pretrained(root / "org" / "plain")
    kl.save_pretrained(root / "org" / "pipeline" / "vae")
    write_folder(root / "org" / "pipeline" / "unet", {"_class_name": "UNet2DConditionModel"}, {"a": torch.zeros(9)})
    (root / "org" / "pipeline" / "model_index.json").write_text("{}")
    (root / "org" / "pipeline" / "everything.safetensors").write_bytes(bytes(5000))
    kl.save_pretrained(root / "org" / "odd" / "autoencoder")
    kl.save_pretrained(root / "org" / "gated")
    kl.save_pretrained(root / "org" / "halves")
    save_file(
        {n: t.half() for n, t in kl.state_dict().items()},
        root / "org" / "halves" / "diffusion_pytorch_model.fp16.safetensors",
    )
    encoder, decoder = to_taesd(tiny.state_dict())
    (root / "me" / "taef1").mkdir(parents=True)
    torch.save(encoder, root / "me" / "taef1" / "taef1_encoder.pth")
    torch.save(decoder, root / "me" / "taef1" / "taef1_decoder.pth")
    (root / "org" / "single").mkdir()
    save_file(to_compvis(models["wide"].state_dict()), root / "org" / "single" / "ae.safetensors")
    (root / "mit" / "dc-ae").mkdir(parents=True)
    save_file(to_efficientvit(models["dc"].state_dict(), strided=True), root / "mit" / "dc-ae" / "model.safetensors")
    (root / "mit" / "dc-ae" / "config.json").write_text('{"model_name": "dc-ae-f32c32-sana-1.0"}')
    for i in range(4):  # the 40 GB without an auto-encoder
        write_folder(
            root / "org" / "llm",
            {"architectures": ["LlamaForCausalLM"]},
            {"w": torch.zeros(1000)},
            f"model-0000{i}-of-00004.safetensors",
        )
    (root / "org" / "unet-only").mkdir()
    save_file({"model.diffusion_model.a": torch.zeros(1000)}, root / "org" / "unet-only" / "sd.safetensors")
    (root / "org" / "empty").mkdir()
    (root / "org" / "empty" / "README.md").write_text("nothing")
    hub = FakeHub(root)
    hub.gated.add("org/gated")
    yield hub
    hub.close()


class Worker:
    def __init__(self, url: str, home: Path, **settings: str):
        self.home = home
        keep = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        env = keep | {
            "HF_ENDPOINT": url,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "cache"),
            "HF_HUB_DISABLE_XET": "1",
        }
        env |= settings | {
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_ETAG_TIMEOUT": "2",
        }
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", WORKER], env=env, cwd=home, **pipes)

    def __call__(self, **job) -> dict:
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=120)


@pytest.fixture(scope="module")
def worker(hub, tmp_path_factory):
    worker = Worker(hub.url, tmp_path_factory.mktemp("home"))
    yield worker
    worker.close()


def first(model):
    return model.state_dict()["encoder.conv_in.weight"].flatten()[:4].tolist()


def served(hub, repo):
    return sorted(name for name_of, name in hub.served if name_of == repo)


def test_a_repository_whose_config_only_names_the_network(hub, worker, models):
    assert worker(source="mit/dc-ae")["first"] == pytest.approx(first(models["dc"]))
    assert served(hub, "mit/dc-ae") == ["config.json", "config.json", "model.safetensors"]


def test_a_plain_repository_with_progress(hub, worker, models):
    answer = worker(source="org/plain")
    assert answer["first"] == pytest.approx(first(models["kl"]))
    done, total = answer["progress"][-1]
    assert done == total > 1000


@pytest.mark.parametrize("source", ["org/plain@v2", "org/pipeline/vae", "https://huggingface.co/org/plain"])
def test_ways_to_write_an_id(worker, models, source):
    assert worker(source=source)["first"] == pytest.approx(first(models["kl"]))


def test_only_the_needed_files_of_a_pipeline(hub, worker, models):
    assert worker(source="org/pipeline")["first"] == pytest.approx(first(models["kl"]))
    assert set(served(hub, "org/pipeline")) <= {
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "unet/config.json",
    }


def test_an_unusual_subfolder_is_found(worker, models):
    assert worker(source="org/odd")["first"] == pytest.approx(first(models["kl"]))


def test_one_variant_is_fetched_not_both(hub, worker):
    assert "first" in worker(source="org/halves", variant="fp16")
    assert "diffusion_pytorch_model.safetensors" not in served(hub, "org/halves")


def test_taesds_pair_tells_its_latent_space(worker, models):
    answer = worker(source="me/taef1")
    assert answer["space"] == "flux1"


def test_a_single_compvis_file(worker, models):
    assert worker(source="org/single")["first"] == pytest.approx(first(models["wide"]))


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (
            {"source": "org/plane"},
            "There is no org/plane on this machine or on the Hugging Face Hub; check the spelling",
        ),
        ({"source": "org/plain", "revision": "v9"}, "org/plain has no revision 'v9'"),
        ({"source": "org/gated"}, "org/gated is gated: accept its terms"),
        ({"source": "org/gated", "token": "bad-token"}, "org/gated is gated"),
        ({"source": "org/llm"}, "config.json has no _class_name"),
        ({"source": "org/unet-only"}, "hold no auto-encoder"),
        ({"source": "org/empty"}, "The repository org/empty holds no auto-encoder's weights"),
        ({"source": "org/../plain"}, "There is no model"),
        ({"source": "org/plain/../../x"}, "There is no model"),
        ({"source": "org/plain", "subfolder": "../x"}, "There is no model"),
        ({"source": "org/plain", "revision": "../x"}, "There is no model"),
    ],
)
def test_refusals_are_one_sentence_and_leave_nothing(hub, worker, job, message):
    name = "models--" + "--".join(job["source"].split("/")[:2])
    before = [file for file in worker(source="org/plain")["cache"] if file.startswith(name)]
    answer = worker(**job)
    assert message in answer.get("refused", "not refused") and "\n" not in answer["refused"]
    assert [file for file in answer["cache"] if file.startswith(name)] == before


def test_a_repository_without_a_vae_is_not_downloaded(hub, worker):
    worker(source="org/llm")
    assert set(served(hub, "org/llm")) == {"config.json"}


def test_what_strangers_fetch_is_bounded_and_lies_apart(hub, models, tmp_path):
    worker = Worker(hub.url, tmp_path, HOME=str(tmp_path))
    try:
        room = {"stranger": 10**9, "cached": 10**9}
        answer = worker(source="org/plain", stranger=1000, cached=10**9)
        assert "GB are accepted" in answer["refused"] and not answer["visitors"] and not answer["progress"]
        answer = worker(source="org/plain", **room)
        assert answer["visitors"] == ["models--org--plain"] and not answer["cache"]
        both = worker(source="org/odd", **room)["visitors"]
        assert both == ["models--org--odd", "models--org--plain"]
        worker(source="org/plain", **room)  # used again, so the other is now the one that goes
        size = sum(path.stat().st_size for name in ("org/plain", "me/taef1") for path in (hub.root / name).iterdir())
        assert worker(source="me/taef1", stranger=10**9, cached=size + 1000)["visitors"] == ["models--org--plain"]
        worker(source="org/gated", token="good-token")
        answer = worker(source="org/gated", token="good-token", **room)
        assert "first" in answer and "models--org--gated" not in answer["visitors"]
    finally:
        worker.close()


def test_a_token_opens_a_gated_repository(worker, models):
    assert worker(source="org/gated", token="good-token")["first"] == pytest.approx(first(models["kl"]))


def test_publishing(hub, worker, tmp_path):
    import vae
    from vae.models import build
    from vae.models.conv import ConvConfig

    folder = vae.save(build(ConvConfig()), tmp_path / "mine")
    answer = worker(push=True, source=str(folder), repo="org/mine", token="good-token")
    assert answer.get("url", answer).endswith("org/mine")
    files = hub.uploads["org/mine"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert b'vae.load("org/mine")' in files["README.md"]
    assert "no right to write" in worker(push=True, source=str(folder), repo="org/mine", token="bad")["refused"]
    assert "no repository" in worker(push=True, source=str(folder), repo="../mine", token="good-token")["refused"]


def test_without_a_network(hub, worker, models):
    worker(source="org/plain"), worker(source="org/pipeline")
    asked = Worker(hub.url, worker.home, HF_HUB_OFFLINE="1")
    hub.close()  # the last test that needs it: from here on nothing answers
    for process in (asked, worker):
        assert process(source="org/plain")["first"] == pytest.approx(first(models["kl"]))
        assert process(source="org/pipeline")["first"] == pytest.approx(first(models["kl"]))
        assert "Hub cannot be reached" in process(source="org/never-seen")["refused"]
    asked.close()


def test_ids():
    assert parse("org/name") == HubId("org/name")
    assert parse("org/name/vae@refs/pr/3") == HubId("org/name", "vae", "refs/pr/3")
    for text in (
        "name",
        "/org/name",
        "org//name",
        "org/name/..",
        "org/.hidden",
        "org/a--b",
        "org/name@",
        "org/name@../x",
    ):
        assert parse(text) in (None, HubId("org/name"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_cache_that_cannot_be_written_is_not_taken_for_a_hub_that_does_not_answer(number):
    sentence = f"org/name cannot be kept on this machine: {os.strerror(number)}"
    with pytest.raises(InputError, match=sentence), _polite(HubId("org/name")):
        raise OSError(number, os.strerror(number))
