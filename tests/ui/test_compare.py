"""Comparing models, opening others, tiles and stopping: what the page's newer parts compute and refuse."""

import threading
import time
from itertools import groupby
from pathlib import Path

import pytest
import torch
from PIL import Image
from waiting import until

pytest.importorskip("gradio")

import vae
from vae import images, limits, metrics, tiling
from vae.errors import InputError
from vae.models import FAMILIES, ConvConfig, build
from vae.models.autoencoder_kl import KLConfig
from vae.models.tiny import TinyConfig
from vae.ui import not_generative, uploads
from vae.ui.serving import latent_spread, popular_models
from vae.ui.serving.access import Audience
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.model_loader import ModelLoader
from vae.ui.serving.models import DRAWN, ModelServer
from vae.ui.serving.tasks import Done, Progress, Stopped, Tasks
from vae.ui.settings import Settings
from vae.ui.tabs.compare import answers, comparison

TINY = {
    "encoder_block_out_channels": (8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8),
    "num_encoder_blocks": (1, 1, 1),
    "num_decoder_blocks": (1, 1, 1),
}
NARROW = {"block_out_channels": (8, 8, 16), "layers_per_block": 1, "norm_num_groups": 4}


def no_report(what, share):
    pass


def public(place: Path) -> Audience:
    return Audience(Settings(None, place, True, None, public=True))


def compared(server, *asked):
    return server.answer(server.compare_call(*asked))


def spread_of(server, *asked):
    return server.answer(server.spread_call(*asked))


@pytest.fixture
def server(tmp_path):
    return ModelServer(Catalog(tmp_path / "runs"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders by name. "tiny" and "kl" share a latent space and scale it differently; "other" has another one."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    configs = {
        "digits": ConvConfig(features=(1, 4, 6, 4)),
        "tiny": TinyConfig(**TINY, latent_space="sd"),
        "kl": KLConfig(**NARROW, latent_space="sd", scaling_factor=0.2, shift_factor=0.1),
        "other": KLConfig(**NARROW, latent_space="flux1"),
        "none": KLConfig(**NARROW),
    }
    return {name: str(vae.save(build(config).eval(), place / name)) for name, config in configs.items()}


def photograph(width=70, height=52) -> Image.Image:
    return images.open_image(uploads.EXAMPLES / "photo-caps.webp").resize((width, height))


# ---- comparing


def test_a_pane_is_what_the_library_computes(server, models):
    found = compared(server, models["kl"], models["kl"], photograph())
    ours = vae.reconstruct(vae.load(models["kl"]), photograph())
    assert found.image.tobytes() == ours.image.tobytes() and found.original.tobytes() == ours.original.tobytes()
    assert found.psnr == pytest.approx(ours.psnr) and found.ssim == pytest.approx(ours.ssim)
    assert found.latent_shape == (4, 13, 18)
    assert found.bits_per_pixel == pytest.approx(16 * 4 * 13 * 18 / (70 * 52))
    assert found.box == (0, 0, 70, 52) and found.tile == 0


def test_one_encodes_and_another_decodes_what_both_scale_alike(server, models):
    found = compared(server, models["kl"], models["tiny"], photograph())
    kl, tiny = vae.load(models["kl"]), vae.load(models["tiny"])
    x = images.to_tensor(photograph())
    shared = (tiling.encode(kl, x).mode() - 0.1) * 0.2
    expected = images.to_image(tiling.decode(tiny, shared, (52, 70))[0])
    assert metrics.psnr(images.to_tensor(found.image), images.to_tensor(expected)).item() > 60
    assert found.psnr == pytest.approx(metrics.psnr(x, images.to_tensor(found.image)).item())


@pytest.mark.parametrize("decoder", ["other", "none", "digits"])
def test_latents_of_other_spaces_are_not_decoded(server, models, decoder):
    with pytest.raises(InputError, match="do not declare the same latent space"):
        compared(server, models["kl"], models[decoder], photograph())
    with pytest.raises(InputError, match="do not declare the same latent space"):
        compared(server, models["none"], models[decoder], photograph()) if decoder != "none" else compared(
            server, models["none"], models["kl"], photograph()
        )


def test_the_box_says_where_a_models_picture_lies_in_the_given_one(server, models):
    digit = Image.new("L", (28, 28))
    assert compared(server, models["digits"], models["digits"], digit).box == (-2, -2, 30, 30)
    wide = compared(server, models["digits"], models["digits"], photograph(84, 56)).box
    assert wide == pytest.approx((84 / 2 - 32, 56 / 2 - 32, 84 / 2 + 32, 56 / 2 + 32))  # each pixel is 2 of the given
    framed = compared(server, models["digits"], models["digits"], Image.new("L", (32, 32)))
    assert framed.box == (0, 0, 32, 32)
    large = compared(server, models["tiny"], models["tiny"], photograph(1200, 300))
    assert large.original.size == (1024, 256) and large.box == (0, 0, 1200, 300)


def test_the_page_is_told_of_each_pane_and_of_what_went_wrong(server, models):
    asked = {
        "ticket": "t",
        "picture": {"kind": "example", "name": "digit-2"},
        "panes": [
            {"key": "a", "encoder": models["digits"], "decoder": models["digits"]},
            {"key": "b", "encoder": models["digits"], "decoder": models["kl"]},
            {"key": "c", "encoder": 5},
            "nonsense",
        ],
    }
    told = list(answers(server, Tasks(), asked))
    assert all(news["ticket"] == "t" for news in told) and told[-1] == {"ticket": "t", "done": True}
    results = {news["key"]: news["result"] for news in told if "result" in news}
    errors = {news["key"]: news["error"] for news in told if "error" in news}
    assert list(results) == ["a"] and list(errors) == ["b", "c"]
    assert results["a"]["width"] == 32 and results["a"]["grey"] and results["a"]["image"].startswith("data:image/png")
    assert "latent space" in errors["b"] and errors["c"] == "Choose a model."
    for nonsense in (None, [], {"panes": 3}, {"panes": [1]}):
        assert list(answers(server, Tasks(), nonsense))[-1]["done"]


def test_a_bad_picture_is_refused_in_each_pane(server, models):
    with pytest.raises(InputError, match="A picture is needed"):
        comparison(server, {"kind": "example", "name": "../secret"}, {"encoder": models["digits"]})


# ---- tiles, progress, stopping


def test_tiles_are_used_where_they_are_asked_for_and_reported(server, models):
    steps = []
    found = server.reconstruct(models["kl"], photograph(160, 96), tile=64, report=lambda *step: steps.append(step))
    assert found.tile == 64
    encoding, decoding = ([share for what, share in steps if what == wanted] for wanted in ("Encoding", "Decoding"))
    assert (
        encoding[0] is None
        and (encoding := encoding[1:])[-1] == 1
        and encoding == sorted(encoding)
        and len(encoding) > 6
    )
    assert decoding[-1] == 1 and len(decoding) > 6
    whole = server.reconstruct(models["kl"], photograph(160, 96), tile=0)
    assert whole.tile == 0
    assert server.reconstruct(models["kl"], photograph(64, 48), tile=64).tile == 0, "one tile is no tiling"


def test_work_ends_within_a_tile_when_its_report_raises(server, models):
    reports = []

    def report(what, share):
        reports.append(share)
        if share:
            raise Stopped

    with pytest.raises(Stopped):
        server.reconstruct(models["kl"], photograph(160, 96), tile=64, report=report)
    assert sum(share is not None and share > 0 for share in reports) == 1
    assert server.reconstruct(models["kl"], photograph()).psnr > 0, "the model is free again"


def forever(report):
    while True:
        report("Working", 0.5)
        time.sleep(0.01)


def test_watched_work_reports_and_returns():
    half, seen = Progress("Half", 0.5), threading.Event()
    watched = Tasks().watch("t", lambda report: report("Half", 0.5) or (seen.wait(60) and 7))
    assert half in watched
    seen.set()
    assert list(watched)[-1] == Done(7)
    with pytest.raises(InputError, match="no"):
        list(Tasks().watch("t", lambda report: (_ for _ in ()).throw(InputError("no"))))


@pytest.mark.parametrize("how", ["stop", "close", "leave", "again"])
def test_work_ends_when_it_is_stopped_or_left_or_another_begins(how):
    tasks, before = Tasks(), set(threading.enumerate())
    watched = tasks.watch("t", forever, "page")
    assert Progress("Working", 0.5) in watched
    if how == "stop":
        tasks.stop("another"), tasks.stop(None), tasks.stop("t")
        assert list(watched) == []
    elif how == "close":
        watched.close()
    elif how == "leave":
        tasks.leave("another page"), tasks.leave(None), tasks.leave("page")
        assert list(watched) == []
    else:
        assert list(tasks.watch("u", lambda report: 1, "page"))[-1] == Done(1)
        assert list(watched) == []
    until(lambda: set(threading.enumerate()) <= before)
    assert not tasks._stops and not tasks._latest


def test_large_pictures_travel_as_files_and_are_swept_away(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "get_upload_folder", lambda: str(tmp_path))
    small, large = Image.new("RGB", (8, 8)), Image.effect_noise((400, 400), 90)
    assert uploads.link(small, "x").startswith("data:image/png;base64,")
    first = Path(uploads.link(large, "../a name/").removeprefix("gradio_api/file="))
    assert first.name == "a-name.png" and tmp_path in first.parents
    assert Image.open(first).tobytes() == large.tobytes()
    monkeypatch.setattr(uploads, "KEPT", -1)
    uploads.link(large, "next")
    assert not first.exists()


# ---- opening models


@pytest.mark.parametrize(
    "text, name",
    [
        ("org/name", "org/name"),
        ("  https://huggingface.co/org/name/tree/main ", "org/name"),
        ("org/name/vae", "org/name/vae"),
        ("org/name@v2", "org/name@v2"),
    ],
)
def test_hub_ids_are_taken_in_their_short_form(tmp_path, text, name):
    assert Catalog(tmp_path, audience=public(tmp_path)).outside(text) == name


@pytest.mark.parametrize(
    "text",
    ["", "name", "org/../name", "/etc", "~", "org/na me", "a/b/../c", "./a/b", "checkpoints/mnist-ae/config.json/.."],
)
def test_strangers_open_nothing_but_hub_ids(tmp_path, models, text):
    catalog = Catalog(tmp_path, audience=public(tmp_path))
    for wanted in (text, models["digits"]):
        with pytest.raises(InputError):
            catalog.outside(wanted)
    with pytest.raises(InputError, match="on a public server"):
        catalog.source(models["digits"])


@pytest.mark.parametrize("text", ["{}", "{}/tree/main", "{}/", "https://huggingface.co/{}", "{}@main"])
def test_a_strangers_id_is_never_a_folder_of_the_same_name(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    vae.save(build(ConvConfig(features=(1, 4, 6, 4))).eval(), tmp_path / "some" / "model")
    catalog = Catalog(tmp_path / "runs", audience=public(tmp_path))
    there, nowhere = (catalog.source(text.format(name)) for name in ("some/model", "some/other"))
    assert there.replace("model", "other") == nowhere and there.startswith("https://huggingface.co/some/model")
    assert not Path(there).exists()


def test_on_a_private_machine_paths_are_taken(server, models):
    assert server.catalog.outside(models["kl"]) == models["kl"]
    with pytest.raises(InputError, match="no folder or file"):
        server.catalog.outside("/nowhere/at all")


def opened(loader, text):
    opening = loader.start(text)
    until(lambda: opening.state not in ("waiting", "loading"))
    return opening


def test_an_opened_model_has_its_facts_and_is_in_memory(server, models):
    opening = opened(ModelLoader(server, server.catalog), models["tiny"])
    assert opening.state == "done" and opening.error == ""
    assert opening.facts["latent_space"] == "sd" and opening.facts["family"] == "tiny"
    assert list(server.backend._models) == [models["tiny"]]


def test_a_model_that_cannot_be_opened_is_one_sentence(server, tmp_path):
    (tmp_path / "empty").mkdir()
    opening = opened(ModelLoader(server, server.catalog), str(tmp_path / "empty"))
    assert opening.state == "failed" and opening.error.count(".") == 1 and "empty" in opening.error


def test_openings_are_shared_and_tell_how_far_they_are(server, monkeypatch):
    release, begun = threading.Event(), []

    def slow(name, progress):
        begun.append(name)
        progress(30, 100)
        release.wait(60)
        return {"name": name}

    monkeypatch.setattr(server, "open", slow)
    loader = ModelLoader(server, server.catalog)
    opening = loader.start("org/name")
    assert loader.start("https://huggingface.co/org/name") is opening and loader.find("org/name") is opening
    until(lambda: opening.done)
    assert (opening.state, opening.done, opening.total) == ("loading", 30, 100)
    release.set()
    assert opened(loader, "org/name").state == "done" and loader.find("org/other") is None
    assert begun in (["org/name"], ["org/name"] * 2)


def test_what_strangers_have_opened_is_held_to_their_share(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "vae.ui.serving.loaded_models.load", lambda source, **options: seen.update(source=limits.share())
    )
    monkeypatch.setattr("vae.ui.serving.catalog.describe", lambda source: seen.update(facts=limits.share()) or {})
    for audience, share in ((public(tmp_path), limits.STRANGER), (Audience(), limits.OWNER)):
        server = ModelServer(Catalog(tmp_path, audience=audience))
        opened(ModelLoader(server, server.catalog), "org/huge")
        server.catalog.facts("org/other")
        assert seen == {"source": share, "facts": share}
        seen.clear()


def test_what_was_downloaded_before_is_marked_without_a_network(tmp_path, monkeypatch):
    entry = popular_models.POPULAR_MODELS[0]
    folder = tmp_path / ("models--" + entry.id.replace("/", "--"))
    file = folder / "snapshots" / "abc" / entry.file
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    listed = {model["id"]: model for model in popular_models.popular_models()}
    assert listed[entry.id]["on_disk"] and not listed["madebyollin/taesd"]["on_disk"]
    assert all(model["licence"] and model["megabytes"] > 0 for model in listed.values())
    families = [model["family"] for model in listed.values()]
    assert len(list(groupby(families))) == len(set(families))  # each under one heading


def test_only_models_of_known_classes_are_listed(monkeypatch):
    listed = {model["id"] for model in popular_models.popular_models()}
    assert {"stabilityai/sdxl-vae", "black-forest-labs/FLUX.2-klein-4B", "madebyollin/taesd3"} <= listed
    known = {name: family for name, family in FAMILIES.items() if name != "AutoencoderKLFlux2"}
    monkeypatch.setattr(popular_models, "FAMILIES", known)
    assert listed - {model["id"] for model in popular_models.popular_models()} == {"black-forest-labs/FLUX.2-klein-4B"}


# ---- no generators


def test_the_spread_of_latents_is_measured(server, models):
    found = spread_of(server, models["kl"], photograph(300, 200), 0)
    model = vae.load(models["kl"])
    seen = images.to_tensor(found.original)
    assert found.original.size == (256, 171)
    posterior = tiling.encode(model, seen)
    centred = posterior.mean - posterior.mean.mean((2, 3), keepdim=True)
    assert found.std == pytest.approx(centred.square().mean().sqrt().item(), rel=1e-4)
    assert found.sigma == pytest.approx(posterior.std.mean().item(), rel=1e-4)
    assert -1 <= found.correlation <= 1
    again = spread_of(server, models["kl"], photograph(300, 200), 0)
    assert again.noise.tobytes() == found.noise.tobytes() != found.reconstruction.tobytes()


def test_noise_has_no_likeness_between_neighbours(models, monkeypatch):
    model = vae.load(models["tiny"])
    monkeypatch.setattr(
        "vae.inference.encode",
        lambda model, x, *rest, **options: vae.distributions.DiagonalGaussian.point(
            torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0)) * 3 + 1
        ),
    )
    found = latent_spread.spread(model, photograph(256, 256), 256, 0)
    assert found.std == pytest.approx(3, abs=0.1) and abs(found.correlation) < 0.03 and found.sigma == 0


@pytest.mark.parametrize("sigma, variational, says", [(0.001, True, True), (0.03, True, False), (0.0, False, True)])
def test_only_what_is_no_generator_is_called_none(sigma, variational, says):
    picture = photograph(32, 32)
    spread = latent_spread.Spread(picture, picture, picture, std=5.5, sigma=sigma, correlation=0.6)
    told = not_generative.explanation(spread, variational)
    assert (told is not None) == says
    if told:
        assert told["std"] == 5.5 and told["sigma"] == (sigma if variational else None)


def test_models_of_any_size_are_drawn_small_on_the_page_and_whole_elsewhere(server, models):
    page = server.sample(models["kl"], 1, 3, 1.0, "normal", small=True)
    assert page.pixels.shape == (1, 3, DRAWN, DRAWN)
    whole = server.sample(models["kl"], 1, 3, 1.0, "normal")
    assert whole.pixels.shape == (1, 3, 512, 512)
    assert server.sample(models["digits"], 1, 3, 1.0, "normal", small=True).pixels.shape == (1, 1, 32, 32)


def test_a_click_is_one_call(server, models, monkeypatch):
    """On ZeroGPU each call is an acquisition of the GPU, and models may be forgotten between two."""
    calls, answers = [], server.backend.answers
    monkeypatch.setattr(server.backend, "answers", lambda asked, *rest: calls.append(asked) or answers(asked, *rest))
    clicks = (
        lambda: server.reconstruct(models["kl"], photograph(), True, 3),
        lambda: compared(server, models["kl"], models["kl"], photograph()),
        lambda: compared(server, models["kl"], models["tiny"], photograph()),
        lambda: server.sample(models["kl"], 3, 0, 1.0, "normal", small=True),
        lambda: server.interpolate(models["kl"], [photograph(), 3], 4, "slerp", small=True),
        lambda: spread_of(server, models["kl"], photograph(), 0),
    )
    for click in clicks:
        click()
    assert len(calls) == len(clicks)
