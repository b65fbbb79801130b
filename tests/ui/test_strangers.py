"""Strangers at the doors of a running server: what they may open, and which requests are not answered at all.

Every request goes to this machine; a stranger is told by the headers a proxy adds, or by the Host that is asked."""

import json

import pytest

pytest.importorskip("gradio")

from doors import Door, door

import vae
from vae.models import ConvConfig, build
from vae.ui.app import create_app
from vae.ui.serving.requests import policy
from vae.ui.settings import Settings
from vae.ui.tabs.train import SETTINGS

PROXIED = {"X-Forwarded-For": "192.0.2.7"}
BY_NAME = {"Host": "studio.example.org"}
LABELLED = ConvConfig(features=(1, 4, 6, 4))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    vae.save(build(LABELLED).eval(), place / "some" / "model")
    (place / "pictures").mkdir()
    return place


@pytest.fixture(scope="module")
def beyond(place):
    """A server that listens on the open network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("HF_HUB_OFFLINE", "1")
        demo, asked = door(place, "0.0.0.0")
        yield asked
        demo.close(verbose=False)


@pytest.fixture(scope="module")
def private(place):
    demo, asked = door(place, "127.0.0.1")
    yield asked
    demo.close(verbose=False)


def answers(asked: Door, model: str, data: str, **headers) -> dict[str, str]:
    """What each door says to someone who names a model and data."""
    return {
        "open_model": asked.script("open_model", model, **headers),
        "opening": asked.script("opening", model, **headers),
        "look_at_data": asked.script("look_at_data", {"preset": "mnist-vae", "data": data}, **headers),
        "sample": asked.call("sample", model, 1, 0, 1.0, "normal", None, **headers),
        "train_start": asked.call("train_start", "mnist-vae", data, *[None] * 14, **headers),
    }


@pytest.mark.parametrize("who", [PROXIED, BY_NAME, {"Via": "1.1 proxy"}, {"CF-Connecting-IP": "192.0.2.7"}])
def test_strangers_learn_of_no_path(beyond, place, who):
    there = answers(beyond, str(place / "some/model"), str(place / "pictures"), **who)
    nowhere = answers(beyond, str(place / "some/mo-el"), str(place / "pic-ures"), **who)
    for name, said in there.items():
        assert said.replace("model", "mo-el").replace("pictures", "pic-ures") == nowhere[name].replace(
            "model", "mo-el"
        ).replace("pictures", "pic-ures"), name
        assert "error" in said and "latent_shape" not in said
    relative = beyond.call("sample", "some/model/tree/main", 1, 0, 1.0, "normal", None, **who)
    assert "error" in relative and "huggingface" in relative.lower().replace(" ", "")


def test_the_host_opens_paths_on_the_open_network_too(beyond, place):
    assert "error" not in beyond.call("sample", str(place / "some/model"), 1, 0, 1.0, "normal", None)


def test_behind_a_proxy_nobody_opens_paths_of_a_private_machine(private, place):
    assert "error" not in private.call("sample", str(place / "some/model"), 1, 0, 1.0, "normal", None)
    assert "error" in private.call("sample", str(place / "some/model"), 1, 0, 1.0, "normal", None, **PROXIED)


def tools(asked: Door) -> set[str]:
    """What agents are offered."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Accept": "application/json, text/event-stream"}
    _, text, _ = asked.ask("POST", "/gradio_api/mcp/", request, headers)
    answer = next(line for line in text.splitlines() if line.startswith("data:"))
    return {tool["name"] for tool in json.loads(answer.removeprefix("data:"))["result"]["tools"]}


def test_agents_train_on_no_public_server_unless_asked_for(private, beyond, place):
    pytest.importorskip("mcp")
    assert {"sample", "train_start", "train_stop"} <= tools(private)
    assert {"sample", "reconstruct"} <= tools(beyond) and not any(name.startswith("train") for name in tools(beyond))
    demo, asked = door(place, "127.0.0.1", mcp=("models", "train_start"), public=True)
    assert {name for name in tools(asked) if "upload" not in name} == {"models", "train_start"}
    demo.close(verbose=False)


def test_more_than_the_memory_is_not_begun(beyond, place):
    settings = [65_536 if name == "batch_size" else None for name in SETTINGS if name != "data"]
    said = beyond.call("train_start", "mnist-vae-large", "digits", *settings, **PROXIED)
    assert "A batch of 65,536 images of 32x32 pixels would take about" in said and "error" in said
    assert not [*(place / "runs").glob("*")]


def test_an_absurd_model_draws_nothing(beyond, place, monkeypatch):
    folder = vae.save(build(LABELLED).eval(), place / "large")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sample_size": 8192}))
    assert "up to 6928 a side" in beyond.call("sample", str(folder), 1, 0, 1.0, "normal", None)


def test_another_name_is_not_answered(private, beyond):
    for method, path in (("GET", "/"), ("GET", "/config"), ("POST", "/gradio_api/call/train_start")):
        status, text, _ = private.ask(method, path, {}, {"Host": "evil.example:7860"})
        assert status == 421 and "evil.example" in text
    assert private.ask("GET", "/config", headers={"Host": "localhost:1234"})[0] == 200
    assert beyond.ask("GET", "/config", headers=BY_NAME)[0] == 200


def test_pages_of_other_sites_send_nothing_to_a_private_machine(private):
    for origin in ("https://evil.example", "http://127.0.0.1:1", "null"):
        assert private.ask("POST", "/gradio_api/call/models", {"data": []}, {"Origin": origin})[0] == 403
    own = f"http://127.0.0.1:{private.address}"
    assert private.ask("POST", "/gradio_api/call/models", {"data": []}, {"Origin": own})[0] == 200


def test_pages_of_other_sites_upload_nothing_anywhere(beyond):
    assert beyond.ask("POST", "/gradio_api/upload", {}, {"Sec-Fetch-Site": "cross-site", **BY_NAME})[0] == 403


def test_the_page_stands_in_no_strangers_frame(private):
    _, _, headers = private.ask("GET", "/")
    assert headers["content-security-policy"].endswith("frame-ancestors 'self'")
    assert "frame-ancestors 'self' https://huggingface.co https://*.h" in policy(space=True)
    assert headers["x-content-type-options"] == "nosniff"


def test_a_model_to_open_first_shows_no_path(place):
    settings = Settings(str(place / "some/model"), place / "runs", True, None, public=True)
    demo = create_app(settings)
    assert str(place) not in repr([block.get_config() for block in demo.blocks.values()])
