"""The library as people misuse it: each use gives the right value or one InputError, whatever the model's family."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vae
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.images import to_float
from vae.latents.scaling import scale, unscale
from vae.models import build
from vae.models.autoencoder_kl import Flux2Config, KLConfig
from vae.models.base import MAX_SIZE
from vae.models.conv import ConvConfig
from vae.models.tiny import TinyConfig

KL = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 16}
TINY = {f"{part}_block_out_channels": (8, 8) for part in ("encoder", "decoder")} | {
    f"num_{part}_blocks": (1, 1) for part in ("encoder", "decoder")
}
CONFIGS = {
    "conv": ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1),
    "conv-ae": ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1, variational=False),
    "kl": KLConfig(**KL),
    "flux2": Flux2Config(**KL, latent_channels=4),
    "tiny": TinyConfig(**TINY, sample_size=16),
}
NAN = math.nan


@pytest.fixture(scope="module", params=CONFIGS)
def model(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(CONFIGS[request.param]).eval().requires_grad_(False)


@pytest.fixture
def x(model):
    """Images (2, C, 16, 16) in [-1, 1], of pixels."""
    generator = torch.Generator().manual_seed(1)
    return to_float(torch.randint(0, 256, (2, model.in_channels, 16, 16), generator=generator, dtype=torch.uint8))


# -- images into encode -----------------------------------------------------------------------------------------------


def test_images_of_any_float_type_in_any_container_are_encoded_alike(model, x):
    expected = model.encode(x).mean
    bytes_ = x.add(1).mul(127.5).round().to(torch.uint8)
    backwards = np.ascontiguousarray(x.numpy()[:, :, ::-1])[:, :, ::-1]  # with a negative stride
    for same in (x.double(), x.numpy(), x.double().numpy(), backwards, bytes_, bytes_.numpy()):
        torch.testing.assert_close(model.encode(same).mean, expected, atol=1e-5, rtol=1e-4)
    for nearly in (x.bfloat16(), x.half()):
        torch.testing.assert_close(model.encode(nearly).mean, expected, atol=0.05, rtol=0.05)


def test_images_need_not_lie_beside_the_weights(model, x):
    with torch.device("meta"):
        elsewhere = build(model.config)
    assert elsewhere.encode(x).mean.device.type == "meta"
    assert elsewhere.decode(model.encode(x).mean).device.type == "meta"
    assert elsewhere(x, torch.zeros(2, *model.latent_shape()))[0].device.type == "meta"
    for wrong in (lambda: model.encode(x.to("meta")), lambda: model.decode(torch.zeros(1, 1, 1, 1, device="meta"))):
        with pytest.raises(InputError):
            wrong()


IMAGES = {
    "other channels": (
        lambda x: torch.cat([x, x], 1),
        r"Images for this model are of the shape \(N, \d, H, W\), not \[",
    ),
    "unbatched": (lambda x: x[0], r"not \[\d, 16, 16\]; x\[None\] makes one image a batch"),
    "flat": (lambda x: x.flatten(1), r"of the shape"),
    "channels last": (lambda x: x.permute(0, 2, 3, 1), r"x\.permute\(0, 3, 1, 2\) brings the channels forward"),
    "no pixels": (lambda x: x[:, :, :0], r"16x0"),
    "0..255": (lambda x: x * 127.5 + 127.5, r"values go from .* floats in \[-1, 1\] or uint8 from 0 to 255"),
    "NaN": (lambda x: x * NAN, "not finite"),
    "infinite": (lambda x: x / 0, "not finite"),
    "whole numbers": (lambda x: x.long(), "floats in .* not torch.int64"),
    "bool": (lambda x: x > 0, "floats in .* not torch.bool"),
    "complex": (lambda x: x.to(torch.complex64), "floats in .* not torch.complex64"),
    "sparse": (lambda x: x.to_sparse(), "dense tensor"),
    "list": (lambda x: x.tolist(), "dense tensor"),
    "path": (lambda x: "a.png", "dense tensor"),
    "nothing": (lambda x: None, "dense tensor"),
}


@pytest.mark.parametrize("wrong", IMAGES)
def test_what_are_no_images_for_this_model_is_refused(model, x, wrong):
    spoil, said = IMAGES[wrong]
    with pytest.raises(InputError, match=said):
        model.encode(spoil(x))


def test_a_model_of_fixed_size_takes_that_size_only():
    model = build(CONFIGS["conv"]).eval()
    for height, width in ((14, 14), (17, 17), (32, 32), (16, 20)):
        with pytest.raises(InputError, match=f"takes images of 16x16 pixels, not {width}x{height}"):
            model.encode(torch.zeros(1, 1, height, width))
    with pytest.raises(InputError, match=r"takes latents of 4x4 .* not 8x8"):
        model.decode(torch.zeros(1, 2, 8, 8))


def test_other_models_take_any_size_that_leaves_a_latent():
    kl, tiny = (build(CONFIGS[name]).eval() for name in ("kl", "tiny"))
    assert kl.encode(torch.zeros(1, 3, 5, 64)).mean.shape == (1, *kl.latent_shape(5, 64)) == (1, 4, 2, 32)
    assert tiny.encode(torch.zeros(1, 3, 1, 5)).mean.shape == (1, *tiny.latent_shape(1, 5)) == (1, 4, 1, 3)
    with pytest.raises(InputError, match="The image is 64x1 pixels; this model needs at least 2x2"):
        kl.encode(torch.zeros(1, 3, 1, 64))


# -- latents ----------------------------------------------------------------------------------------------------------


def test_latents_of_any_float_type_in_any_container_are_decoded_alike(model, x):
    z = model.encode(x).mean
    expected = model.decode(z)
    for same in (z.double(), z.numpy(), z.double().numpy()):
        torch.testing.assert_close(model.decode(same), expected, atol=1e-5, rtol=1e-4)


LATENTS = {
    "other channels": (
        lambda z: torch.cat([z, z], 1),
        r"Latents of this model are of the shape \(N, \d, h, w\), not \[",
    ),
    "unbatched": (lambda z: z[0], r"z\[None\] makes one latent a batch"),
    "flat": (lambda z: z.flatten(1), r"of the shape"),
    "nothing of it": (lambda z: z[:, :, :0], r"of the shape"),
    "whole numbers": (lambda z: z.long(), "Latents are floats, not torch.int64"),
    "bytes": (lambda z: z.to(torch.uint8), "Latents are floats, not torch.uint8"),
    "NaN": (lambda z: z * NAN, "The latents hold numbers that are not finite"),
    "infinite": (lambda z: z + math.inf, "The latents hold numbers that are not finite"),
    "a posterior": (lambda z: DiagonalGaussian(z, z), "dense tensor"),
    "list": (lambda z: z.tolist(), "dense tensor"),
}


@pytest.mark.parametrize("wrong", LATENTS)
def test_what_are_no_latents_of_this_model_is_refused(model, x, wrong):
    spoil, said = LATENTS[wrong]
    with pytest.raises(InputError, match=said):
        model.decode(spoil(model.encode(x).mean))


def test_an_empty_batch_has_empty_results(model, x):
    posterior = model.encode(x[:0])
    assert posterior.mean.shape == (0, *model.latent_shape()) and posterior.kl().shape == (0,)
    assert model.decode(posterior.mean).shape == model(x[:0])[0].shape == (0, *x.shape[1:])


def test_noise_has_the_latents_shape_and_a_generator_is_one(model, x):
    posterior, z = model.encode(x), torch.ones(2, *model.latent_shape())
    assert torch.equal(posterior.sample(noise=z.numpy()), posterior.sample(noise=z))
    for noise in (z[:1], z[0], torch.zeros(()), [0.0], z.flatten(1)):
        with pytest.raises(InputError, match="The noise"):
            posterior.sample(noise=noise)
        with pytest.raises(InputError, match="The noise"):
            model(x, noise)
    for generator in (0, "cpu", np.random.default_rng(0)):
        with pytest.raises(InputError, match=r"The generator is a torch\.Generator"):
            posterior.sample(generator)


def test_sides_of_a_latent_shape_are_whole_numbers(model):
    assert model.latent_shape(np.int64(64), 32.0) == model.latent_shape(64, 32)
    assert model.latent_shape(32) == model.latent_shape(32, 32)
    for height in (0, -8, 16.5, True, "16", NAN):
        with pytest.raises(InputError, match="An image's height must be a whole number"):
            model.latent_shape(height)


def test_scaling_wants_this_models_latents(model, x):
    z = model.encode(x).mean
    torch.testing.assert_close(unscale(model, scale(model, z.numpy())), z)
    for wrong in (z[0], torch.cat([z, z], 1), z.long(), None):
        for function in (scale, unscale):
            with pytest.raises(InputError, match=r"[Ll]atents"):
                function(model, wrong)


@pytest.mark.parametrize("mode", ["slerp", "lerp"])
def test_an_interpolation_takes_arrays_and_any_whole_number(model, x, mode):
    a, b = model.encode(x).mean
    expected = vae.interpolate(a, b, 5, mode)
    for steps in (np.int64(5), 5.0, torch.tensor(5)):
        assert torch.equal(vae.interpolate(a.numpy(), b.numpy(), steps, mode), expected)
    assert vae.interpolate(a.half(), b.half(), 3, mode).dtype == torch.float16


def test_an_interpolation_refuses_what_it_cannot_use():
    a = torch.zeros(1, 2, 2)
    for steps in (1, 1001, -3, 2.5, True, "3", None, NAN):
        with pytest.raises(InputError, match="number of steps must be a whole number from 2 to 1000"):
            vae.interpolate(a, a + 1, steps)
    for wrong in (a.long(), a * NAN, a[0], a[None, None], [0.0], "0", None):
        with pytest.raises(InputError, match=r"[Ll]atents"):
            vae.interpolate(wrong, a + 1, 3)
        with pytest.raises(InputError, match=r"[Ll]atents"):
            vae.interpolate(a, wrong, 3)
    for mode in ("straight", None, ["slerp"]):
        with pytest.raises(InputError, match="mode must be one of"):
            vae.interpolate(a, a + 1, 3, mode)


def test_an_unknown_prior_is_refused():
    model = build(CONFIGS["conv"]).eval()
    for prior in ("vamp", None, 5, ["normal"]):
        with pytest.raises(InputError, match="This model has no prior"):
            vae.sample(model, 1, prior=prior)


# -- training, compiling, tracing: what the checks must not stand in the way of ----------------------------------------


def test_a_training_is_not_asked_for_values(model, x):
    nothing = torch.zeros(2, *model.latent_shape())
    for mode in (True, False):
        changed = copy.deepcopy(model).train(mode)
        x_hat, _ = changed(x * NAN, nothing)  # the loop's own judgement of the loss tells of it
        assert x_hat.isnan().all()
    assert changed.train().encode(x * NAN).mean.isnan().any()
    assert changed.decode(nothing * NAN).isnan().any()
    with pytest.raises(InputError, match="of the shape"):
        changed(x[0])


def test_gradients_reach_images_and_latents(model, x):
    x = x.clone().requires_grad_()
    z = model.encode(x.double()).mean
    (grad,) = torch.autograd.grad(model.decode(z).sum(), x)
    assert grad.abs().sum() > 0


def test_it_compiles_into_one_graph(model, x):
    nothing = torch.zeros(2, *model.latent_shape())
    torch._dynamo.reset()

    def compiled(function):
        return torch.compile(function, backend="eager", fullgraph=True)

    torch.testing.assert_close(compiled(model)(x, nothing)[0], model(x, nothing)[0])
    torch.testing.assert_close(compiled(model.encode)(x).mean, model.encode(x).mean)
    torch.testing.assert_close(compiled(model.decode)(nothing), model.decode(nothing))
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace:FutureWarning")
def test_it_can_be_traced(model, x):
    traced = torch.jit.trace(lambda x: model.decode(model.encode(x).mode()), x)
    torch.testing.assert_close(traced(-x), model.decode(model.encode(-x).mode()))


# -- number formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16", "float64"])
def test_a_model_computes_in_every_dtype_by_its_name_or_itself(model, x, name, tmp_path):
    vae.save(model, tmp_path / "model")
    z = model.encode(x).mean
    x_hat, nothing = model.decode(z), torch.zeros_like(z)
    near = {"float32": 1e-5, "float64": 1e-5}.get(name, 0.1)
    for dtype in (name, f"torch.{name}", getattr(torch, name)):
        loaded = vae.load(tmp_path / "model", device="cpu", dtype=dtype)
        assert loaded.dtype == getattr(torch, name)
        for images in (x, x.to(loaded.dtype), x.double()):
            torch.testing.assert_close(loaded.encode(images).mean, z, atol=near, rtol=near)
        torch.testing.assert_close(loaded.decode(z).float(), x_hat, atol=near, rtol=near)
        torch.testing.assert_close(loaded(x, nothing)[0].float(), x_hat, atol=near, rtol=near)
    trained = loaded.train().requires_grad_(True)
    trained(x, nothing)[0].float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.decoder.parameters())


def test_auto_is_a_dtype_for_every_family(model, x, tmp_path, monkeypatch):
    vae.save(model, tmp_path / "model")
    z = model.encode(x).mean
    for best in (torch.float32, torch.bfloat16):  # what it is on a CPU, and on most GPUs
        monkeypatch.setattr("vae.checkpoints.store.best_dtype", lambda device, best=best: best)
        loaded = vae.load(tmp_path / "model", device="cpu", dtype="auto")
        assert loaded.dtype == best
        torch.testing.assert_close(loaded.encode(x).mean, z, atol=0.1, rtol=0.1)
        torch.testing.assert_close(loaded.decode(z).float(), model.decode(z), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("dtype", ["fp16", "int8", torch.int8, torch.complex64, 16, np.float32, "", b"float16"])
def test_a_dtype_that_no_network_computes_in_is_refused(dtype):
    with pytest.raises(InputError, match="The dtype must be auto, float32, bfloat16, float16, float64, not"):
        vae.load("mnist-vae", dtype=dtype)


# -- models: loading, saving, building --------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [None, 5, b"mnist-vae", ["mnist-vae"], "", Path("nowhere"), "a\0b", "x" * 5000])
def test_what_names_no_model_is_refused(source):
    with pytest.raises(InputError, match=r"^There is no model .*; give a bundled name") as caught:
        vae.load(source)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("device", ["gpu", "", "meta", 99, -1, 3.5, object()])
def test_a_device_that_is_not_here_is_refused(device):
    with pytest.raises(InputError, match="is not available here"):
        vae.load("mnist-vae", device=device)


def test_a_model_is_saved_in_a_folder_given_as_a_string_or_a_path(model, x, tmp_path):
    expected = model.encode(x).mean
    for folder in (str(tmp_path / "a"), tmp_path / "b"):
        assert vae.save(model, folder) == Path(folder)
        for source in (folder, Path(folder), str(Path(folder) / "model.safetensors")):
            torch.testing.assert_close(vae.load(source, device="cpu").encode(x).mean, expected)


def test_a_compiled_model_is_saved_as_the_model_it_is(model, x, tmp_path):
    vae.save(torch.compile(model), tmp_path / "model")
    torch.testing.assert_close(vae.load(tmp_path / "model", device="cpu").encode(x).mean, model.encode(x).mean)


def test_what_cannot_be_saved_leaves_nothing_behind(tmp_path):
    model = build(CONFIGS["conv"])
    (tmp_path / "file").write_text("kept")
    for folder in (tmp_path / "file", tmp_path / "a.safetensors", str(tmp_path / "a.pth"), tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"saved in a folder|cannot be written"):
            vae.save(model, folder)
    for folder in (None, 5, ""):
        with pytest.raises(InputError, match="A model is saved in a folder, whose path"):
            vae.save(model, folder)
    for other in (torch.nn.Linear(1, 1), torch.nn.DataParallel(model), None, "mnist-vae"):
        for write in (vae.save, vae.export):
            with pytest.raises(InputError, match="A model is needed"):
                write(other, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("config", [None, 5, "kl", [1], {}, torch.nn.Linear(1, 1)])
def test_what_is_no_config_builds_no_model(config):
    with pytest.raises(InputError, match="config"):
        build(config)


# -- sizes that the network cannot halve ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "factor"),
    [(KLConfig, 8), (Flux2Config, 8), (TinyConfig, 8), (ConvConfig, 8), (lambda **size: KLConfig(**KL | size), 2)],
)
def test_a_size_that_cannot_be_halved_is_refused_with_those_that_can(make, factor):
    size = 12 * factor + 1
    with pytest.raises(InputError, match=rf"multiple of {factor}, .* {size - 1} or {size - 1 + factor}, not {size}\."):
        make(sample_size=size)
    for size in (0, -factor, 10**9, "64", 16.5, True, None, NAN):
        with pytest.raises(InputError, match="sample_size must be a whole number from 1 to 8192, not"):
            make(sample_size=size)
    assert type(make(sample_size=np.int64(4 * factor)).sample_size) is int


@pytest.mark.parametrize("ours", [True, False])
def test_published_weights_load_whatever_size_their_config_names(ours, tmp_path):
    """A model that takes any size has it for what is shown first only."""
    model = build(CONFIGS["kl"])
    (vae.save if ours else vae.export)(model, tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    for size, loaded in ((33, 32), (1, 2), (64, 64), (10**9, MAX_SIZE)):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"sample_size": size}))
        assert vae.load(tmp_path / "model", device="cpu").config.sample_size == loaded
        if loaded < MAX_SIZE:
            assert vae.sample(vae.load(tmp_path / "model", device="cpu"), 1).shape == (1, 3, loaded, loaded)


def test_a_fixed_size_that_cannot_be_halved_does_not_load(tmp_path):
    vae.save(build(CONFIGS["conv"]), tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_text(file.read_text().replace('"sample_size": 16', '"sample_size": 18'))
    with pytest.raises(InputError, match="sample_size must be a multiple of 4"):
        vae.load(tmp_path / "model")


# -- trainings --------------------------------------------------------------------------------------------------------


def test_fit_takes_a_presets_name(tmp_path):
    run = vae.fit("mnist-vae", tmp_path / "run", device="cpu", max_minutes=1e-9)
    assert run.config() == json.loads(json.dumps(vae.PRESETS["mnist-vae"].to_dict()))


@pytest.mark.parametrize("config", [None, 5, {}, vae.TrainConfig, "nope", "mnist-vae-huge"])
def test_fit_refuses_what_is_no_config_and_no_presets_name(config, tmp_path):
    with pytest.raises(InputError, match="mnist-vae, mnist-ae"):  # the presets there are
        vae.fit(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fit_refuses_a_folder_that_is_no_path():
    with pytest.raises(InputError, match="A run is a folder, whose path is a string or a Path, not 3"):
        vae.fit("mnist-vae", 3)


def test_a_folder_that_is_no_run_has_neither_state_nor_metrics_and_cannot_be_stopped(tmp_path):
    for folder in (tmp_path, str(tmp_path / "nowhere")):
        run = vae.Run(folder)
        for ask in (run.metrics, run.config, run.state, run.active, run.request_stop):
            with pytest.raises(InputError, match="is not a run folder"):
                ask()
    assert not list(tmp_path.iterdir())
    for folder in (None, 5, ["run"]):
        with pytest.raises(InputError, match="A run is a folder"):
            vae.Run(folder)


@pytest.mark.parametrize("minutes", [-1, NAN, "1", True, [1]])
def test_minutes_are_a_number(minutes, tmp_path):
    with pytest.raises(InputError, match="max_minutes must be a number from 0"):
        vae.fit("mnist-vae", tmp_path / "run", max_minutes=minutes)
    assert not (tmp_path / "run").exists()


# -- data sets --------------------------------------------------------------------------------------------------------


def test_a_data_set_is_named_by_a_string_or_a_path_and_fitted_to_whole_numbers():
    expected = vae.load_data("digits", "test", size=16, border=2).images
    for size, border in ((np.int64(16), np.uint8(2)), (16.0, 2.0)):
        assert torch.equal(vae.load_data(Path("digits"), "test", size=size, border=border).images, expected)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": name} for name in (None, 5, ["digits"], "", "a\0b")),
        *({"split": split} for split in (None, "dev", ["train"])),
        *({"size": size} for size in ("16", 16.5, 0, -8, 10**7, True, None, NAN)),
        *({"channels": channels} for channels in (0, 5, "3", None)),
        *({"border": border} for border in (-1, 8, 1.5, "2", None)),
        *({"test_size": share} for share in (0, 1, -0.1, NAN, "0.2", True)),
        *({"limit_bytes": limit} for limit in (-1, None, "1", 0.5)),
        *({"root": root} for root in (5, ["data"])),
    ],
    ids=str,
)
def test_what_no_data_set_can_be_is_refused(wrong):
    with pytest.raises(InputError):
        vae.load_data(**{"name": "digits", "size": 16} | wrong)


def test_a_split_that_cannot_be_makes_no_folder(tmp_path):
    source, taken = tmp_path / "images", tmp_path / "file"
    source.mkdir()
    taken.write_text("kept")
    for number in range(4):
        Image.new("L", (4, 4)).save(source / f"{number}.png")
    train, test = tmp_path / "train", tmp_path / "test"
    for wrong in (
        {"source_dir": None},
        {"source_dir": tmp_path / "nowhere"},
        {"train_dir": 5},
        {"test_dir": None},
        {"train_dir": taken},
        *({"test_size": share} for share in (0, 1, NAN, "0.5")),
        *({"random_state": seed} for seed in (-1, 2**32, 0.5, "0", None)),
    ):
        with pytest.raises(InputError):
            vae.split_dataset(**{"source_dir": source, "train_dir": train, "test_dir": test} | wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "images"]
    assert vae.split_dataset(str(source), train, str(test), random_state=np.int64(0)) == (3, 1)
