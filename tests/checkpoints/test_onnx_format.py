"""Models as ONNX files, against the models themselves under onnxruntime; and what is left when the export fails."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from small_models import FAMILIES, examples, made
from torch import nn

import vae
from vae.errors import InputError
from vae.models.own import OwnConfig, OwnModel

pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")
# Of the families whose layers are others', too, the one that has most of them.
ENOUGH = ("conv", "kl", "kl that reflects", "movq", "wan 2.2", "hunyuan", "tiny", "tiny with patches", "dc")
close = partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4)


def sessions(folder):
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return (
        runtime.InferenceSession(folder / f"{half}.onnx", options, providers=["CPUExecutionProvider"])
        for half in ("encoder", "decoder")
    )


@torch.no_grad()  # with gradients a model does not clamp what it decodes
@pytest.mark.parametrize("name", ENOUGH)
def test_the_files_give_what_the_model_gives_at_any_batch_and_size(name, tmp_path):
    model = made(FAMILIES[name])
    folder = vae.export(model, tmp_path / "onnx", "onnx")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "decoder.onnx", "encoder.onnx"]
    encoder, decoder = sessions(folder)
    shapes = [(1, 16, 16), (3, 16, 16)]
    if not model.config.fixed_size:
        shapes += [(2, 34, 22), (1, 50, 34)]
        shapes.append((2, 5 * model.downscale, model.downscale))  # one latent pixel wide
    for n, height, width in shapes:
        x, z = examples(model, n, height, width)
        posterior = model.encode(x)
        moments = encoder.run(None, {"images": x.numpy()})
        assert len(moments) == len(posterior.parameters)
        for found, wanted in zip(moments, posterior.parameters, strict=True):
            close(found, wanted.numpy())
        close(decoder.run(["images"], {"latents": z.numpy()})[0], model.decode(z).numpy())
    names = [each.name for each in encoder.get_outputs()]
    assert names == (["mean", "logvar"] if model.is_variational else ["mean"])


@torch.no_grad()
def test_an_image_of_a_single_latent_pixel(tmp_path):
    config = FAMILIES["conv"]
    model = made(replace(config, sample_size=config.downscale))
    encoder, decoder = sessions(vae.export(model, tmp_path / "onnx", "onnx"))
    x, z = examples(model, 2, model.downscale, model.downscale)
    assert z.shape[2:] == (1, 1)
    close(encoder.run(["mean"], {"images": x.numpy()})[0], model.encode(x).mean.numpy())
    close(decoder.run(None, {"latents": z.numpy()})[0], model.decode(z).numpy())


class Averages(nn.Module):
    """A network of one's own: a node has the name of what the encoder gives, and a division a guard against 0."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def encode(self, x):
        mean = torch.mean(x, dim=(2, 3), keepdim=True)
        return mean / (mean.abs() + 1e-15) * self.weight

    def decode(self, z):
        return z.expand(-1, 1, 8, 8) + self.weight


class Undecided(Averages):
    """Its decoder looks at its numbers, so that no graph can be made of it."""

    def decode(self, z):
        return super().decode(z if z.sum() > 0 else -z)


def own(network):
    return OwnModel(network, OwnConfig(sample_size=8, in_channels=1), "averages").eval()


def test_a_file_has_its_outputs_names_and_every_constant(tmp_path):
    encoder, _ = sessions(vae.export(own(Averages()), tmp_path / "onnx", "onnx"))
    x = torch.tensor([0.0, 0.4, -0.2]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    (mean,) = encoder.run(["mean"], {"images": x.numpy()})
    assert mean.flatten().tolist() == [0.0, 1.0, -1.0]


def test_an_export_that_fails_midway_leaves_all_as_it_was(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    (there / "encoder.onnx").write_text("the one before")
    for folder in (there, tmp_path / "new" / "folder"):
        with pytest.raises(InputError, match="cannot be written as ONNX"):
            vae.export(own(Undecided()), folder, "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert [path.name for path in there.iterdir()] == ["encoder.onnx"]

    (there / "decoder.onnx").mkdir()  # in the way of the second file
    with pytest.raises(InputError, match="cannot be written: Is a directory"):
        vae.export(own(Averages()), there, "onnx")
    assert sorted(path.name for path in there.iterdir()) == ["decoder.onnx", "encoder.onnx"]
    assert (there / "encoder.onnx").read_text() == "the one before"


def test_where_a_model_is_written_is_a_folder_in_every_format(tmp_path):
    (tmp_path / "file").write_text("of somebody")
    for name in ("file", "model.onnx", "model.safetensors"):
        for format in ("diffusers", "taesd", "onnx"):
            with pytest.raises(InputError, match=f"'{name}' is a file"):
                vae.export(made(FAMILIES["tiny"]), tmp_path / name, format)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    kept = tmp_path / "folder"
    kept.mkdir()
    (kept / "notes.txt").write_text("mine")
    vae.export(made(FAMILIES["conv"]), kept, "onnx")  # into a folder with other files, as in the other formats
    assert sorted(path.name for path in kept.iterdir()) == ["config.json", "decoder.onnx", "encoder.onnx", "notes.txt"]
