"""Python, the command line, HTTP and the page give the same pixels and figures for the same image, seed and model."""

import json
import sys

import pytest
import torch
from PIL import Image, ImageDraw

pytest.importorskip("gradio")

import gradio_client

import vae
from vae import images, inference
from vae.checkpoints.find_model import weight_files
from vae.cli.main import main
from vae.errors import InputError
from vae.latents import priors
from vae.latents.priors.diffusion import Diffusion
from vae.latents.priors.standardizer import Standardizer
from vae.models import ConvConfig, build
from vae.models.autoencoder_kl import KLConfig
from vae.ui.app import create_app
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.models import ModelServer
from vae.ui.tabs import reconstruct

SMALL = KLConfig(sample_size=32, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1)


@pytest.fixture
def doors(tmp_path, monkeypatch, capsys):
    """The image's path, and what each door is asked through; all of them with one model and the same image."""
    torch.manual_seed(0)
    folder = vae.save(build(SMALL).eval(), tmp_path / "model")
    path = tmp_path / "image.png"
    noise = torch.rand(3, 90, 130, generator=torch.Generator().manual_seed(1)) * 2 - 1
    images.to_image(noise).save(path)
    monkeypatch.setenv("VAE_MODEL", str(folder))
    monkeypatch.setenv("VAE_RUNS_DIR", str(tmp_path / "runs"))
    demo = create_app()
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    client = gradio_client.Client(url, verbose=False)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["vae", *map(str, arguments), "--device", "cpu", "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return json.loads(capsys.readouterr().out.splitlines()[-1])  # what the app's start said comes before

    yield str(folder), path, command, client, ModelServer(Catalog(tmp_path / "runs"))
    client.close()
    demo.close()


def saved_with_diffusion(folder) -> str:
    """A model whose only prior is a diffusion of 4 steps, its network untrained but for the heads."""
    torch.manual_seed(0)
    model = build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, variational=False)).eval()
    for weight in model.parameters():
        weight.data *= 4.0 if weight.dim() > 1 else 1.0  # an untrained decoder paints next to nothing
    vae.save(model, folder)
    shape = tuple(model.latent_shape())
    core = Diffusion(shape, 32, 2, steps=4)
    for head in core.heads:
        torch.nn.init.normal_(head.weight, std=0.3)
    for part in core.parameters():
        part.data = part.data.half().float()
    count = model.latent_shape()[0] * 16
    frame = Standardizer(torch.zeros(count), torch.ones(count), torch.ones(count, dtype=torch.bool))
    priors.write(weight_files(folder), {"diffusion": priors.Prior("diffusion", shape, frame, core)})
    return str(folder)


def pixels(image) -> bytes:
    return Image.open(image).convert("RGB").tobytes()


def test_reconstruct(doors, tmp_path):
    folder, path, command, client, server = doors
    ours = vae.reconstruct(vae.load(folder, device="cpu"), path, sample=True, seed=5)
    expected = ours.image.convert("RGB").tobytes()
    (row,) = command("reconstruct", folder, path, "-o", tmp_path / "out.png", "--sample", "--seed", 5)
    assert pixels(tmp_path / "out.png") == expected and (row["psnr"], row["ssim"]) == (ours.psnr, ours.ssim)
    image = gradio_client.handle_file(str(path))
    file, figures = client.predict(image=image, model=folder, sample=True, seed=5, api_name="/reconstruct")
    assert pixels(file["path"] if isinstance(file, dict) else file) == expected
    page = server.reconstruct(folder, images.open_image(path), True, 5)
    assert page.image.convert("RGB").tobytes() == expected
    assert reconstruct.figures(page) | {"seconds": 0, "advice": None} == figures | {"seconds": 0}
    assert (figures["psnr"], figures["ssim"]) == (round(ours.psnr, 3), round(ours.ssim, 5))


def test_a_photographed_digit(doors, tmp_path):
    _, path, command, client, server = doors
    digit = Image.new("L", (300, 400), 230)
    ImageDraw.Draw(digit).line([(90, 100), (220, 110), (130, 320)], fill=40, width=22)
    digit.save(path)
    ours = vae.reconstruct(vae.load("mnist-vae", device="cpu"), path)
    given = vae.reconstruct(vae.load("mnist-vae", device="cpu"), path, clean_photo=False)
    assert ours.cleaned and given.cleaned is None and ours.psnr > given.psnr + 8
    image = gradio_client.handle_file(str(path))
    for wanted, options in ((ours, {}), (given, {"clean_photo": False})):
        flags = ["--no-clean-photo"] if options else []
        (row,) = command("reconstruct", "mnist-vae", path, "-o", tmp_path / "out.png", *flags)
        assert (row["psnr"], row["cleaned"]) == (wanted.psnr, wanted.cleaned)
        file, figures = client.predict(image=image, model="mnist-vae", **options, api_name="/reconstruct")
        assert figures["cleaned"] == wanted.cleaned and pixels(file) == wanted.image.convert("RGB").tobytes()
        judged = vae.how_unusual(vae.load("mnist-vae", device="cpu"), path, wanted is ours).summary()
        assert row["unusual"] == figures["unusual"] == judged
        page = server.reconstruct("mnist-vae", images.open_image(path), **options)
        assert page.unusual.summary() == judged and page.original.tobytes() == wanted.original.tobytes()


def test_sample(doors, tmp_path):
    folder, _, command, client, server = doors
    drawn = vae.sample(vae.load(folder, device="cpu"), 10, seed=7)
    command("sample", folder, "-n", 10, "--seed", 7, "-o", tmp_path / "out.png")
    expected = images.grid(drawn).convert("RGB").tobytes()
    assert pixels(tmp_path / "out.png") == expected
    file, _ = client.predict(model=folder, n=10, seed=7, api_name="/sample")
    assert pixels(file["path"] if isinstance(file, dict) else file) == expected
    assert torch.equal(server.sample(folder, 10, 7, 1.0, "normal", small=True).pixels, images.to_uint8(drawn))
    command("sample", folder, "-n", 10, "--seed", 7, "-o", tmp_path / "folder")
    files = sorted((tmp_path / "folder").iterdir())
    assert [pixels(file) for file in files] == [images.to_image(x).tobytes() for x in drawn]


def test_a_diffusion_prior_in_as_many_steps_as_asked_for(doors, tmp_path):
    _, _, command, client, server = doors
    name = saved_with_diffusion(tmp_path / "drawing")
    model = vae.load(name, device="cpu")
    ours = vae.sample(model, 3, seed=7, prior="diffusion", steps=2)
    expected = images.grid(ours).convert("RGB").tobytes()
    for steps, wanted in ((2, expected), (None, images.grid(vae.sample(model, 3, 7, prior="diffusion")))):
        option = [] if steps is None else ["--steps", steps]
        out = tmp_path / "out.png"
        row = command("sample", name, "-n", 3, "--seed", 7, "--prior", "diffusion", *option, "-o", out)
        file, facts = client.predict(model=name, n=3, seed=7, prior="diffusion", steps=steps, api_name="/sample")
        wanted = wanted if steps else wanted.convert("RGB").tobytes()
        assert pixels(out) == pixels(file) == wanted and row["steps"] == facts["steps"] == (steps or 4)
        page = server.sample(name, 3, 7, 1.0, "diffusion", small=True, steps=steps)
        assert images.grid(page.pixels).convert("RGB").tobytes() == wanted
        assert (page.steps, page.usual) == (steps or 4, 4)
    assert wanted != expected
    with pytest.raises(InputError, match="The normal prior takes no number of steps"):
        server.sample(name, 1, 0, 1.0, "normal", steps=2)
    with pytest.raises(Exception, match="The normal prior takes no number of steps"):
        client.predict(model=name, steps=2, api_name="/sample")
    found = inference.interpolate(model, [5, 6], 4, "prior")
    command("interpolate", name, 5, 6, "--steps", 4, "--mode", "prior", "-o", tmp_path / "out.png")
    assert pixels(tmp_path / "out.png") == images.grid(found.pixels, columns=4).convert("RGB").tobytes()
    _, facts = client.predict(model=name, seed_a=5, seed_b=6, steps=4, mode="prior", api_name="/interpolate")
    page = server.interpolate(name, [inference.Draw(5), inference.Draw(6)], 4, None, small=True)
    assert torch.equal(page.pixels, found.pixels) and facts["prior"] == page.prior == "diffusion"


def test_interpolate(doors, tmp_path):
    folder, path, command, client, server = doors
    found = inference.interpolate(vae.load(folder, device="cpu"), [images.open_image(path), 3], 4)
    command("interpolate", folder, path, 3, "--steps", 4, "-o", tmp_path / "out.png")
    assert pixels(tmp_path / "out.png") == images.grid(found.pixels, columns=4).convert("RGB").tobytes()
    page = server.interpolate(folder, [images.open_image(path), inference.Draw(3)], 4, "slerp", small=True)
    assert torch.equal(page.pixels, found.pixels)
    image = gradio_client.handle_file(str(path))
    file, facts = client.predict(image_a=image, model=folder, seed_b=3, steps=4, api_name="/interpolate")
    with Image.open(file["path"] if isinstance(file, dict) else file) as animation:
        assert animation.n_frames == 6 and facts["mode"] == "slerp"
