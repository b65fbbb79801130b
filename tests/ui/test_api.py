"""The HTTP endpoints, called by gradio_client against a running app, as scripts and agents call them."""

import io
import json
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

gr = pytest.importorskip("gradio")
from gradio_client import Client, handle_file  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402

import vae  # noqa: E402
from vae.models import ConvConfig, build  # noqa: E402
from vae.training.setting import settings_of  # noqa: E402

EXAMPLE = Path(__file__).parents[2] / "vae" / "ui" / "static" / "examples" / "digit-2.png"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def model(place):
    """A tiny VAE with random weights: the endpoints are tested here, not what a model has learned."""
    torch.manual_seed(0)
    return str(vae.save(build(ConvConfig(features=(1, 4, 6, 4), trained_on="nothing")).eval(), place / "tiny"))


@pytest.fixture(scope="module")
def client(place, model):
    from vae.ui.app import create_app

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_RUNS_DIR", str(place / "runs"))
        patch.setenv("VAE_MODEL", model)
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        demo = create_app()
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
        yield Client(url, verbose=False)
        demo.close(verbose=False)


def refused(client, *arguments, **named) -> str:
    """The sentence with which the call is refused."""
    with pytest.raises(AppError) as caught:
        client.predict(*arguments, **named)
    sentence = str(caught.value)
    assert "Traceback" not in sentence and "\n" not in sentence and len(sentence) < 300
    return sentence


def test_models_lists_facts(client, model):
    entry = next(m for m in client.predict(api_name="/models") if m["name"] == Path(model).name)
    assert entry["family"] == "conv" and entry["image_size"] == 32 and entry["latent_shape"] == [4, 8, 8]
    assert entry["parameters"] == vae.load(model).parameter_count


def test_reconstruct_gives_a_lossless_picture_and_figures(client, model):
    path, figures = client.predict(image=handle_file(str(EXAMPLE)), model=model, api_name="/reconstruct")
    ours = vae.reconstruct(vae.load(model), Image.open(EXAMPLE))
    assert Image.open(path).format == "PNG" and Image.open(path).tobytes() == ours.image.tobytes()
    assert figures["psnr"] == pytest.approx(ours.psnr, abs=1e-3)
    assert figures["seed"] is None and figures["seconds"] > 0 and figures["advice"] is None


def test_a_photograph_given_to_a_model_of_digits_comes_with_advice(client, tmp_path):
    Image.open(EXAMPLE.with_name("photo-parrot.webp")).convert("L").save(tmp_path / "grey.png")
    photo = handle_file(str(tmp_path / "grey.png"))
    _, figures = client.predict(image=photo, model="mnist-vae", api_name="/reconstruct")
    assert figures["advice"] == {"says": "This model only knows digits.", "model": "dogs-vae-16"}


def test_a_posterior_sample_says_its_seed_and_repeats(client):
    picture = handle_file(str(EXAMPLE))
    first, figures = client.predict(image=picture, sample=True, api_name="/reconstruct")
    again, same = client.predict(image=picture, sample=True, seed=figures["seed"], api_name="/reconstruct")
    assert same["seed"] == figures["seed"]
    assert Path(first).read_bytes() == Path(again).read_bytes()


def png(size=(20, 20), mode="RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("words.png", b"no picture at all", "not a picture"),
        ("empty.png", b"", "empty"),
        ("cut.png", png((200, 200))[:90], "cut off"),
        ("thin.png", png((1, 1000)), "too long"),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_bad_pictures_are_refused_by_name(client, tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    sentence = refused(client, image=handle_file(str(tmp_path / name)), api_name="/reconstruct")
    assert says in sentence and name in sentence


@pytest.mark.parametrize(
    ("mode", "ending"), [("CMYK", "jpg"), ("I;16", "png"), ("LA", "png"), ("P", "gif"), ("1", "png")]
)
def test_unusual_pictures_are_taken(client, tmp_path, mode, ending):
    Image.new(mode, (30, 40)).save(tmp_path / f"odd.{ending}")
    path, _ = client.predict(image=handle_file(str(tmp_path / f"odd.{ending}")), api_name="/reconstruct")
    assert Image.open(path).size == (32, 32)


def test_files_of_the_server_are_not_read(client):
    sentence = refused(client, image={"path": str(EXAMPLE)}, api_name="/reconstruct")
    assert "not accepted" in sentence


def test_unknown_and_damaged_models_are_refused(client, tmp_path, model):
    assert "no-such" in refused(client, model="no-such", api_name="/sample")
    assert "no training" in refused(client, model="live", api_name="/sample").lower()
    (tmp_path / "config.json").write_text((Path(model) / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    assert "safetensors" in refused(client, model=str(tmp_path), api_name="/sample")


def test_sample_repeats_with_its_seed(client):
    first, facts = client.predict(n=5, api_name="/sample")
    again, _ = client.predict(n=5, seed=facts["seed"], api_name="/sample")
    assert Path(first).read_bytes() == Path(again).read_bytes()
    other, _ = client.predict(n=5, seed=facts["seed"] + 1, api_name="/sample")
    assert Path(first).read_bytes() != Path(other).read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"n": 1_000_000},
        {"n": 2.5},
        {"n": "many"},
        {"seed": -1},
        {"temperature": -0.1},
        {"temperature": "hot"},
        {"prior": "none such"},
        {"prior": "flow"},
    ],
)
def test_sample_refuses_what_is_out_of_range(client, wrong):
    assert next(iter(wrong)) in refused(client, **wrong, api_name="/sample").lower()


def test_interpolate_gives_an_animation_there_and_back(client):
    path, facts = client.predict(steps=5, api_name="/interpolate")
    animation = Image.open(path)
    assert animation.format == "GIF" and facts["seed_a"] == 0 and facts["seed_b"] == 1
    assert animation.n_frames <= 8 and animation.width == 256  # equal neighbours may be merged
    _, facts = client.predict(image_a=handle_file(str(EXAMPLE)), mode="lerp", api_name="/interpolate")
    assert facts["seed_a"] is None and facts["mode"] == "lerp"


@pytest.mark.parametrize(
    "wrong", [{"steps": 1}, {"steps": 100_000}, {"mode": "loop"}, {"mode": "prior"}, {"seed_a": "x"}]
)
def test_interpolate_refuses_nonsense(client, wrong):
    assert next(iter(wrong)) in refused(client, **wrong, api_name="/interpolate").lower()


def test_fitted_priors_are_sampled_and_gone_through(client, place):
    from vae.data.image_set import ImageSet
    from vae.latents import priors

    model = build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, variational=False))
    for weight in model.decoder.parameters():
        weight.data *= 4.0 if weight.dim() > 1 else 1.0  # an untrained decoder paints next to nothing
    folder = vae.save(model, place / "fitted")
    data = ImageSet("blocks", (1, 16, 16), None, None)
    blocks = torch.randint(0, 255, (200, 1, 2, 2)).to(torch.uint8)
    data.images = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    data.labels, data.classes = torch.arange(200) % 2, ["odd", "even"]
    fitted = priors.fit_priors(vae.load(folder), data, ["gaussian", "mixture"])
    priors.write((folder / "model.safetensors",), fitted)
    named = {"model": str(folder), "seed": 1}
    grids = {}
    for prior in ("normal", "gaussian", "mixture"):
        path, facts = client.predict(**named, prior=prior, api_name="/sample")
        grids[prior] = Path(path).read_bytes()
        assert facts["prior"] == prior
    path, facts = client.predict(**named, label="even", api_name="/sample")
    assert (facts["prior"], facts["label"]) == ("mixture", "even")
    grids["even"] = Path(path).read_bytes()
    assert len(set(grids.values())) == 4
    assert "no class" in refused(client, **named, label="seven", api_name="/sample")
    assert Path(client.predict(**named, api_name="/sample")[0]).read_bytes() == grids["normal"]
    _, facts = client.predict(model=str(folder), mode="prior", api_name="/interpolate")
    assert facts["mode"] == "prior" and facts["prior"] == "gaussian"
    assert "fit-prior" in refused(client, **named, prior="flow", api_name="/sample")
    vae.save(build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, variational=False)), place / "other")
    (place / "other" / priors.FILE).write_bytes((folder / priors.FILE).read_bytes())
    for named in ({"prior": "gaussian", "api_name": "/sample"}, {"mode": "prior", "api_name": "/interpolate"}):
        assert "another checkpoint" in refused(client, model=str(place / "other"), **named)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": -1},
        {"epochs": 1.5},
        {"learning_rate": 1e30},
        {"beta": -1},
        {"reconstruction": "sums"},
        {"flip": 1},
        {"preset": "none-such"},
        {"data": "none-such"},
        {"data": "/none/such"},
    ],
)
def test_train_start_refuses_nonsense_and_leaves_nothing(client, place, wrong):
    key, value = next(iter(wrong.items()))
    sentence = refused(client, **wrong, api_name="/train_start").lower().replace(" ", "_")
    assert key in sentence or str(value) in sentence.replace("_", "-")
    assert not list((place / "runs").glob("*"))


def test_an_empty_data_folder_is_refused(client, place, tmp_path):
    refused(client, data=str(tmp_path), api_name="/train_start")
    assert not list((place / "runs").glob("*"))


def wait_for(client, run: str, *states: str, seconds: float = 180.0) -> dict:
    patience = time.monotonic() + seconds
    while time.monotonic() < patience:
        status = client.predict(run=run, api_name="/train_status")
        if status["state"] in states:
            return status
        time.sleep(0.2)
    raise AssertionError(f"the run is still {status['state']}")


def wait_for_live(client, seconds: float = 180.0) -> dict:
    """The model of the training that runs, which there is from its first checkpoint on."""
    patience = time.monotonic() + seconds
    while time.monotonic() < patience:
        live = [model for model in client.predict(api_name="/models") if model["kind"] == "live"]
        if live:
            return live[0]
        time.sleep(0.2)
    raise AssertionError("no live model appeared")


def test_a_training_from_start_to_model(client):
    run = client.predict(data="digits", epochs=2, api_name="/train_start")["run"]
    status = wait_for(client, run, "finished", "failed")
    assert status["state"] == "finished" and status["epoch"] == status["epochs"] == 2
    wanted = {"step", "epoch", "loss", "reconstruction", "kl", "val_loss", "val_reconstruction", "val_kl"}
    assert [m["epoch"] for m in status["metrics"]] == [1, 2] and wanted <= set(status["metrics"][0])
    assert status["metrics"][1]["loss"] < status["metrics"][0]["loss"]
    later = client.predict(run=run, since=1, api_name="/train_status")
    assert [m["epoch"] for m in later["metrics"]] == [2]
    assert run in [m["name"] for m in client.predict(api_name="/models")]
    client.predict(model=run, n=4, api_name="/sample")


def test_one_training_at_a_time_and_stop(client):
    run = client.predict(data="digits", epochs=5000, api_name="/train_start")["run"]
    try:
        assert run in refused(client, data="digits", api_name="/train_start")
        wait_for(client, run, "running")
        assert wait_for_live(client)["name"] == run
        client.predict(model="live", n=4, api_name="/sample")
    finally:
        client.predict(run=run, api_name="/train_stop")
    assert wait_for(client, run, "stopped")["metrics"] is not None
    assert client.predict(run=run, api_name="/train_stop")["state"] == "stopped"
    client.predict(model=run, n=4, api_name="/sample")


def test_only_who_started_a_training_can_stop_it(client):
    """Two clients from elsewhere; one starts a run, neither the other nor a third without a token stops it."""
    owner, other = (Client(client.src, verbose=False, headers={"X-Forwarded-For": "192.0.2.7"}) for _ in range(2))
    started = owner.predict(data="digits", epochs=5000, api_name="/train_start")
    run = {"run": started["run"], "api_name": "/train_stop"}
    try:
        wait_for(client, started["run"], "running")
        assert "Only whoever started" in refused(other, **run)
        assert "Only whoever started" in refused(other, **run, token="x" * 22)
        assert other.predict(run=started["run"], api_name="/train_status")["state"] == "running"
        owner.predict(**run)
        wait_for(client, started["run"], "stopped")
        assert other.predict(**run, token=started["token"])["state"] == "stopped"
    finally:
        client.predict(**run)  # the host may, always


@pytest.mark.parametrize("run", ["none-such", "../tiny", "", ".."])
def test_runs_that_are_none_are_refused(client, run):
    assert "no run" in refused(client, run=run, api_name="/train_status")
    assert "no run" in refused(client, run=run, api_name="/train_stop")


def test_every_setting_of_a_training_is_an_argument(client, place):
    wanted = {"batch_size": 512, "schedule": "constant", "beta2": 0.5, "flip": True, "clip": 2, "epochs": 1.0}
    run = client.predict(data="digits", **wanted, api_name="/train_start")["run"]
    wait_for(client, run, "finished", "failed")
    config = vae.Run(place / "runs" / run).config()
    assert {name: config[name] for name in wanted} == wanted and type(config["epochs"]) is int
    assert config["learning_rate"] == vae.PRESETS["mnist-vae"].learning_rate


def test_only_the_promised_endpoints_are_public(client):
    info = client.view_api(return_format="dict")["named_endpoints"]
    assert set(info) == {
        "/models",
        "/reconstruct",
        "/sample",
        "/interpolate",
        "/train_start",
        "/train_status",
        "/train_stop",
    }
    for endpoint in info.values():
        optional = [p["parameter_has_default"] for p in endpoint["parameters"]]
        assert all(optional[1:])


def test_agents_see_described_tools(client):
    pytest.importorskip("mcp")
    import httpx

    tools = {t["name"]: t for t in httpx.get(f"{client.src}gradio_api/mcp/schema").json()}
    assert set(tools) == {"models", "reconstruct", "sample", "interpolate", "train_start", "train_status", "train_stop"}
    described = tools["reconstruct"]["inputSchema"]["properties"]
    assert all(described[name].get("description") for name in ("image", "model", "sample", "seed"))
    described = tools["train_start"]["inputSchema"]["properties"]
    public = {name for name, known in settings_of(vae.TrainConfig).items() if known.public}
    assert set(described) == {"preset", *public}
    assert "from 1 to 100000" in described["epochs"]["description"] and described["flip"]["type"] == "boolean"
    assert json.dumps(tools["models"])


def test_inputs_left_out_at_the_end_have_their_defaults(client, model):
    """Raw HTTP calls name their inputs by place, as many as there were when they were written."""
    from doors import Door

    def facts(*given) -> dict:
        answer = Door(client.src).call("sample", model, *given)
        return json.loads(answer.partition("data: ")[2])[1] | {"seconds": 0}

    assert facts(1, 3, 1.0, "normal", None, None) == facts(1, 3, 1.0, "normal") == facts(1, 3)
