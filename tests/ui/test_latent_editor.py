"""What the page's latent editor is told, wish by wish, as its script asks."""

import base64
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("gradio")

import vae
from vae import tiling
from vae.images import to_uint8
from vae.latents.latent_file import read_latent
from vae.models import build
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig
from vae.ui import latent_editor
from vae.ui.latent_points import read_point, write_point
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.models import ModelServer
from vae.ui.serving.tasks import Tasks
from vae.ui.tabs import reconstruct
from vae.ui.uploads import read_picture

SMALL = KLConfig(sample_size=32, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, latent_channels=2)
AS_IS = [{"source": 0, "scale": 1, "noise": 0}, {"source": 1, "scale": 1, "noise": 0}]


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    return str(vae.save(build(SMALL).eval(), tmp_path / "model"))


@pytest.fixture
def ask(model, tmp_path, monkeypatch):
    """The last answer to a wish of the page that shows an example's reconstruction."""
    monkeypatch.setattr(latent_editor, "get_upload_folder", lambda: str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    server = ModelServer(Catalog(tmp_path / "runs"))

    def call(what, of=model, **more):
        controls = {"kind": "example", "name": "photo-parrot"}, reconstruct.MEAN, 0, 512, "Automatic", None
        asked = {"ticket": "t", "model": of, "what": what, **more}
        shown = reconstruct._chosen(server, of, *controls)
        (*_, last) = latent_editor.answers(server, Tasks(), asked, of, lambda report: shown(report=report))
        assert last["ticket"] == "t"
        return last

    return call


def taken(ask):
    found = ask("take")["result"]
    return {key: found[key] for key in ("z", "shape", "size")}


def test_the_latent_of_the_shown_picture_decodes_to_its_reconstruction(ask, model):
    latent, loaded = taken(ask), vae.load(model)
    picture = read_picture({"kind": "example", "name": "photo-parrot"})
    assert latent["size"] == [picture.height, picture.width]
    z = read_point(latent["z"]).view(1, *latent["shape"])
    wanted = vae.reconstruct(loaded, picture)
    torch.testing.assert_close(z, wanted.latent)
    image = read_picture({"uri": inline(ask("decode", **latent, edits=AS_IS, seed=0)["result"]["image"])})
    assert image.tobytes() == wanted.image.tobytes()


def inline(uri):
    """The image of an answer, which is a file of this server where it is large."""
    if uri.startswith("data:"):
        return uri
    return "data:image/png;base64," + base64.b64encode(Path(uri.removeprefix("gradio_api/file=")).read_bytes()).decode()


def test_a_swapped_channel_is_what_is_decoded_and_kept(ask, model, tmp_path):
    z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    sent = {"z": write_point(z), "shape": [2, 6, 4], "size": [11, 7], "seed": 5}
    edits = [{"source": 1, "scale": -1.5, "noise": 0}, {"source": 0, "scale": 0, "noise": 0}]
    found = ask("decode", **sent, edits=edits)["result"]
    edited = torch.stack([-1.5 * z[1], 0 * z[1]])
    wanted = to_uint8(tiling.decode(vae.load(model), edited[None], (11, 7)))[0]
    image = read_picture({"uri": inline(found["image"])})
    assert image.size == (7, 11) and image.tobytes() == wanted.permute(1, 2, 0).numpy().tobytes()
    for suffix in (".npy", ".safetensors"):
        data = ask("keep", **sent, edits=edits, format=suffix)["result"]["file"].split(",")[1]
        path = tmp_path / "uploads" / f"mine{suffix}"
        path.write_bytes(base64.b64decode(data))
        assert torch.equal(read_latent(path, 2), edited)
        opened = ask("open", file={"path": str(path)})["result"]
        assert opened["size"] == [12, 8] and torch.equal(read_point(opened["z"]).view(2, 6, 4), edited)


@pytest.mark.parametrize(
    ("what", "more", "said"),
    [
        ("fly", {}, "is one of"),
        ("open", {"file": {"path": "/etc/hostname"}}, "uploaded first"),
        ("open", {}, "uploaded first"),
        ("decode", {"z": "****"}, "damaged"),
        ("decode", {"shape": [2, 6, 5]}, "damaged"),
        ("decode", {"shape": [1, 6, 8]}, "have 2 x 16 x 16 numbers"),
        ("decode", {"size": [13, 8]}, "A side"),
        ("decode", {"size": "all"}, "A side"),
        ("decode", {"edits": []}, "2 edits"),
        ("decode", {"edits": [1, 2]}, "edits are a list"),
        ("decode", {"edits": [{"scale": "x"}, {}]}, "A scale"),
        ("decode", {"seed": -1}, "seed"),
        ("keep", {"format": ".exe"}, "is written as"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(ask, what, more, said):
    sent = {"z": write_point(torch.zeros(48)), "shape": [2, 6, 4], "size": [12, 8], "seed": 0, "edits": AS_IS}
    answer = ask(what, **sent | more)
    assert said in answer["error"] and "result" not in answer


def test_a_latent_of_an_image_larger_than_is_decoded_here_is_refused(ask, monkeypatch):
    monkeypatch.setattr(latent_editor, "PIXELS", 64)
    sent = {"z": write_point(torch.zeros(48)), "shape": [2, 6, 4], "size": [12, 8], "seed": 0, "edits": AS_IS}
    assert "up to 64 pixels" in ask("decode", **sent)["error"]


def test_a_model_of_fixed_size_takes_latents_of_that_size(ask, tmp_path):
    fixed = str(vae.save(build(ConvConfig(features=(1, 4, 6, 4))).eval(), tmp_path / "fixed"))
    sent = {"size": [8, 8], "seed": 0, "edits": [{}] * 4}
    assert "have 4 x 8 x 8" in ask("decode", fixed, z=write_point(torch.zeros(16)), shape=[4, 2, 2], **sent)["error"]


def test_a_wish_for_another_model_than_the_chosen_one_is_not_answered(tmp_path):
    server = ModelServer(Catalog(tmp_path / "runs"))
    asked = {"ticket": "t", "model": "mnist-ae", "what": "take"}
    answers = latent_editor.answers(server, Tasks(), asked, "mnist-vae", lambda report: SimpleNamespace())
    assert "has changed" in list(answers)[-1]["error"]
