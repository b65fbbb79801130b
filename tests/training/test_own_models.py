"""`fit` with a model of one's own, registered or not."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
from own_family import DiscConfig, Discs, DiscVAE, Plain, short, trainer_state
from tiny_runs import untimed
from torch import nn

import vae
from vae.checkpoints.store import load
from vae.errors import InputError
from vae.models import FAMILIES, REGISTERED
from vae.training.loop import fit


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


@pytest.fixture
def discs(monkeypatch):
    """DiscVAE, registered for the length of a test."""
    families, registered = dict(FAMILIES), dict(REGISTERED)
    vae.register("DiscVAE", DiscVAE, DiscConfig)
    yield DiscVAE
    for known, before in ((FAMILIES, families), (REGISTERED, registered)):
        known.clear()
        known.update(before)


def after_a_step(event):
    """A callback that stops the training after its first update."""
    if event.name == "step":
        event.stop()


def test_a_registered_network_is_trained_loaded_saved_and_gone_on_with(tmp_path, discs):
    config = short(model=DiscConfig(width=8))
    assert config.model == {"_class_name": "DiscVAE", **DiscConfig(width=8).to_dict()}
    run = fit(config, tmp_path / "run", device="cpu", train_set=Discs())
    first, last = [line for line in run.metrics() if line["kind"] == "epoch"]
    assert last["val_loss"] < first["val_loss"] and last["val_kl"] > 0
    model = load(run.folder, device="cpu")
    assert type(model.network) is DiscVAE and model.config.width == 8 and model.config.trained_on == "Discs"
    assert model.family == "DiscVAE" and model.latent_shape() == (2, 1, 1) and model.priors == ["normal"]
    x = torch.stack([Discs()[i][0] for i in (3, 30)])
    z = model.encode(x).mode()
    saved = load(vae.save(model, tmp_path / "saved"), device="cpu")
    assert torch.equal(saved.decode(z), model.decode(z)) and saved.config == model.config
    assert vae.sample(model, 3, seed=0).shape == (3, 1, 8, 8)
    fit(config, tmp_path / "parts", device="cpu", train_set=Discs(), callbacks=after_a_step)
    assert trainer_state(tmp_path / "parts")["step"] == 1
    assert untimed(fit(config, tmp_path / "parts", resume=True, device="cpu", train_set=Discs())) == untimed(run)


def test_a_registered_network_may_be_handed_over_and_a_module_saved(tmp_path, discs):
    module = DiscVAE(DiscConfig())
    before = module.decoder[0].weight.clone()
    run = fit(short(epochs=1), tmp_path / "run", device="cpu", model=module, train_set=Discs())
    assert not torch.equal(module.decoder[0].weight, before), "it is trained in place"
    assert run.config()["model"]["_class_name"] == "DiscVAE"
    assert torch.equal(load(run.folder, device="cpu").network.decoder[0].weight, module.decoder[0].weight)
    assert torch.equal(load(vae.save(module, tmp_path / "m"), device="cpu").network.encoder.bias, module.encoder.bias)


def test_a_network_nobody_registered_learns_and_is_gone_on_with(tmp_path):
    torch.manual_seed(0)
    module, whole = Plain(), Plain()
    whole.load_state_dict(module.state_dict())
    options = {"device": "cpu", "train_set": Discs(), "val_set": Discs(20)}
    fit(short(epochs=2), tmp_path / "whole", model=whole, **options)
    run = fit(short(epochs=2), tmp_path / "run", model=module, callbacks=after_a_step, **options)
    assert run.state()["step"] == 1
    with pytest.raises(InputError, match=r"nobody but the program that trained it.*vae\.register"):
        load(run.folder)
    kept = (run.model_folder() / "model.safetensors").read_bytes()
    for wrong, sentence in ((None, "trained a Plain; it takes"), (DiscVAE(DiscConfig()), "not a DiscVAE")):
        with pytest.raises(InputError, match=sentence):
            fit(short(), run.folder, resume=True, model=wrong, **options)
    with pytest.raises(InputError, match=r"learned from Discs .*train_set"):
        fit(short(), run.folder, resume=True, model=Plain(), device="cpu")
    assert (run.model_folder() / "model.safetensors").read_bytes() == kept
    again = Plain()
    assert untimed(fit(short(epochs=2), run.folder, resume=True, model=again, **options)) == untimed(
        fit(short(epochs=2), tmp_path / "whole", resume=True, model=Plain(), **options)
    )
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), whole.parameters(), strict=True))
    assert again.training and all(p.requires_grad for p in again.parameters())


def test_a_checkpoint_that_no_longer_fits_its_class_is_not_overwritten(tmp_path, discs):
    run = fit(short(model=DiscConfig()), tmp_path / "run", device="cpu", train_set=Discs())
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}

    class Wider(DiscVAE):
        def __init__(self, config):
            super().__init__(replace(config, width=2 * config.width))

    Wider.__qualname__, Wider.__module__ = (
        DiscVAE.__qualname__,
        DiscVAE.__module__,
    )  # as when a notebook's cell runs anew
    vae.register("DiscVAE", Wider, DiscConfig)
    with pytest.raises(InputError, match=r"cannot be gone on with: The tensor network\.decoder"):
        fit(short(model=DiscConfig(), epochs=4), run.folder, resume=True, device="cpu", train_set=Discs())
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


class Outputs:
    """What diffusers' auto-encoders answer, in little."""

    def __init__(self, **values):
        vars(self).update(values)


MOMENTS = torch.full((1, 2, 4, 4), 0.5)


@pytest.mark.parametrize(
    ("answer", "variational"),
    [
        (lambda z: z, False),
        (lambda z: (z, z), True),
        (lambda z: vae.DiagonalGaussian(z, z), True),
        (lambda z: Outputs(mean=z, logvar=z), True),
        (lambda z: Outputs(latent_dist=Outputs(mean=z, logvar=z)), True),
        (lambda z: Outputs(latents=z), False),
    ],
)
def test_what_encode_may_answer(tmp_path, answer, variational):
    class Answering(Plain):
        def encode(self, x):
            return answer(self.encoder(x))

        def decode(self, z):
            return Outputs(sample=self.decoder(z))

    def look(event):
        seen.append((event.model.is_variational, event.model.latent_shape()))

    seen = []
    run = fit(short(epochs=1), tmp_path / "run", device="cpu", model=Answering(), train_set=Discs(), callbacks=look)
    assert set(seen) == {(variational, (2, 4, 4))}
    assert (run.metrics()[-1]["val_kl"] > 0) is variational


def test_diffusers_own_class_is_trained(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    blocks = {"down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"]}
    model = diffusers.AutoencoderKL(1, 1, block_out_channels=[8], norm_num_groups=4, sample_size=8, **blocks)
    config = short(epochs=1, batch_size=700, freeze="encoder", ema_images=500)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run = fit(config, tmp_path / "run", device="cpu", model=model)  # digits, of the size and colours its config says
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert run.state()["state"] == "finished"
    assert moved and all(name.startswith(("decoder.", "post_quant_conv.")) for name in moved)


def test_a_model_of_load_goes_on_learning_and_is_otherwise_as_it_was(tmp_path):
    model = load(fit(short(batch_size=140), tmp_path / "first", device="cpu").folder, device="cpu")
    fit(short(epochs=1, batch_size=140, freeze="decoder"), tmp_path / "second", device="cpu", model=model)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    first, second = (load(tmp_path / name, device="cpu").state_dict() for name in ("first", "second"))
    changed = {name.split(".")[0] for name, tensor in first.items() if not torch.equal(tensor, second[name])}
    assert changed == {"encoder"} and torch.equal(
        model.state_dict()["encoder.0.0.0.weight"], second["encoder.0.0.0.weight"]
    )


def bad(**methods):
    return type("Bad", (Plain,), methods)()


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("mnist-vae", "nn.Module with encode and decode, not str"),
        (nn.Linear(2, 2), "nn.Module with encode and decode, not Linear"),
        (bad(encode=lambda self, x: "latents"), "encode must give latents as a tensor"),
        (bad(encode=lambda self, x: self.encoder(x)[0]), r"latents of the shape \[2, 4, 4\]"),
        (bad(decode=lambda self, z: z), r"decode of a Bad gives \[1, 2, 4, 4\]"),
        (bad(decode=lambda self, z: None), "must give images as a tensor"),
        (type("Empty", (nn.Module,), {"encode": lambda self, x: x, "decode": lambda self, z: z})(), "no parameters"),
    ],
)
def test_what_is_no_model_is_refused_and_nothing_begun(tmp_path, model, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(short(), tmp_path / "run", device="cpu", model=model, train_set=Discs())
    assert not (tmp_path / "run").exists()


def test_models_that_contradict_the_rest_are_refused(tmp_path, discs):
    with pytest.raises(InputError, match="Nothing says how large the images of a Plain are"):
        fit(short(), tmp_path / "run", device="cpu", model=Plain())
    with pytest.raises(InputError, match="model or the config's init, not both"):
        fit(short(init="mnist-vae"), tmp_path / "run", device="cpu", model=Plain(), train_set=Discs())
    with pytest.raises(InputError, match=r"A Plain cannot encode and decode images of 1x8x8 .*: RuntimeError"):
        fit(short(), tmp_path / "run", device="cpu", model=Plain(3), train_set=Discs())
    with pytest.raises(InputError, match=r"images of Discs are 1x12x12 .* trained on 1x8x8"):
        fit(short(model=DiscConfig()), tmp_path / "run", device="cpu", train_set=Discs(side=12))
    assert not (tmp_path / "run").exists()
    halves = Plain()
    halves.decoder.requires_grad_(False)
    with pytest.raises(InputError, match="With its encoder frozen this model has nothing left to train"):
        fit(short(freeze="encoder"), tmp_path / "run", device="cpu", model=halves, train_set=Discs())
    halves.latent_to_image, halves.decoder = nn.ConvTranspose2d(2, 1, 2, stride=2), None
    halves.decode = halves.latent_to_image.forward
    with pytest.raises(InputError, match="not known where the decoder"):
        fit(short(freeze="encoder"), tmp_path / "run", device="cpu", model=halves, train_set=Discs())


def test_what_cannot_be_compiled_of_a_network_runs_as_it_is(tmp_path, monkeypatch):
    tried = []

    def failing(*arguments, **options):
        tried.append(options)
        raise RuntimeError("this network cannot be compiled")

    torch._dynamo.reset()
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", failing)
    steps = []
    parts = {"model": Plain(), "train_set": Discs(), "callbacks": lambda event: steps.append((event.name, event.step))}
    with torch._dynamo.config.patch(suppress_errors=False):  # pytest would delete it at the end
        run = fit(short(epochs=1, compile="on"), tmp_path / "run", device="cpu", **parts)
    torch._dynamo.reset()
    assert tried and run.state()["state"] == "finished"
    assert [step for name, step in steps if name == "step"] == [1, 2, 3, 4]


# -- registering


@dataclass(frozen=True)
class OtherConfig(vae.ModelConfig):
    in_channels: int = 1


class Unsaid(vae.ModelConfig):
    """Not a dataclass of its own."""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ConvVAE", DiscVAE, OtherConfig), "already a family 'ConvVAE'"),
        (("DiscVAE", Plain, OtherConfig), "already a family 'DiscVAE'"),
        (("Own", Plain, OtherConfig), "already a family 'Own'"),
        (("Disc2", Plain, DiscConfig), "DiscConfig is the config of DiscVAE"),
        (("os.path", Plain, OtherConfig), "a letter and up to 63"),
        (("Disc2", Plain(), OtherConfig), "a class derived from nn.Module"),
        (("Disc2", nn.Linear, OtherConfig), "with encode and decode"),
        (("Disc2", Plain, dict), "derived from vae.ModelConfig"),
        (("Disc2", Plain, Unsaid), "a dataclass"),
    ],
)
def test_what_cannot_be_registered(discs, arguments, sentence):
    before = dict(FAMILIES)
    with pytest.raises(InputError, match=sentence):
        vae.register(*arguments)
    assert before == FAMILIES


def test_a_registered_name_is_a_preset_and_one_that_cannot_be_made_is_a_sentence(tmp_path, discs):
    assert vae.PRESETS["DiscVAE"].model["_class_name"] == "DiscVAE" and list(vae.PRESETS)[-1] == "DiscVAE"
    vae.register("Other", type("Other", (Plain,), {}), OtherConfig)  # which makes no network of a config
    with pytest.raises(InputError, match=r"A Other cannot be made from its config: TypeError|AttributeError"):
        fit(short(model={"_class_name": "Other"}, data="digits"), tmp_path / "run", device="cpu")


def test_a_config_names_a_family_and_never_a_module(tmp_path, discs):
    saved = vae.save(DiscVAE(DiscConfig()), tmp_path / "saved")
    entries = json.loads((saved / "config.json").read_text())
    for name in ("own_family.DiscVAE", "os.system", "nobody"):
        (saved / "config.json").write_text(json.dumps(entries | {"_class_name": name}))
        with pytest.raises(InputError, match="unknown class"):
            load(saved)
