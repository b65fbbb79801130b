"""`fit` with a model, data, a loss and callbacks of one's own."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
from own_family import DiscConfig, Discs, DiscVAE, Plain
from tiny_runs import tiny, untimed
from torch import nn
from torch.utils.data import TensorDataset

import vae
from vae.checkpoints.store import load
from vae.errors import InputError
from vae.models import FAMILIES, REGISTERED
from vae.training.callbacks import Event
from vae.training.loop import fit


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def discs(monkeypatch):
    """DiscVAE, registered for the length of a test."""
    families, registered = dict(FAMILIES), dict(REGISTERED)
    vae.register("DiscVAE", DiscVAE, DiscConfig)
    yield DiscVAE
    for known, before in ((FAMILIES, families), (REGISTERED, registered)):
        known.clear()
        known.update(before)


def short(**changes):
    return tiny(**{"epochs": 2, "batch_size": 12, "learning_rate": 1e-2} | changes)


def squared(x, x_hat, posterior, step):
    return {"loss": (x_hat - x).square().mean(), "brightness": x_hat.mean()}


# -- models ---------------------------------------------------------------------------------------------------------


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
    fit(config, tmp_path / "parts", device="cpu", train_set=Discs(), max_minutes=1e-9)
    assert load_state(tmp_path / "parts")["step"] == 1
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
    run = fit(short(epochs=2), tmp_path / "run", model=module, max_minutes=1e-9, **options)
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
        fit(short(epochs=4), run.folder, resume=True, device="cpu", train_set=Discs())
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
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    steps = []
    parts = {"model": Plain(), "train_set": Discs(), "callbacks": lambda event: steps.append((event.name, event.step))}
    run = fit(short(epochs=1, compile="on"), tmp_path / "run", device="cpu", **parts)
    torch._dynamo.reset()
    assert tried and run.state()["state"] == "finished"
    assert [step for name, step in steps if name == "step"] == [1, 2, 3, 4]


# -- registering ----------------------------------------------------------------------------------------------------


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
    assert vae.PRESETS["DiscVAE"].model == {"_class_name": "DiscVAE"} and list(vae.PRESETS)[-1] == "DiscVAE"
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


# -- data -----------------------------------------------------------------------------------------------------------


def test_a_dataset_alone_is_split_and_of_two_each_is_used(tmp_path):
    run = fit(short(epochs=1), tmp_path / "one", device="cpu", model=Plain(), train_set=Discs())
    assert (run.state()["train_images"], run.state()["val_images"]) == (48, 12)
    assert run.config()["data"] == "Discs (own Dataset)"
    pixels = (torch.rand(30, 3, 8, 8) * 255).to(torch.uint8)
    sets = {"train_set": TensorDataset(pixels, torch.arange(30)), "val_set": pixels[:7]}
    run = fit(short(epochs=1), tmp_path / "two", device="cpu", model=Plain(3), **sets)
    assert (run.state()["train_images"], run.state()["val_images"]) == (30, 7)
    assert run.config()["model"]["in_channels"] == 3


def test_bytes_and_floats_of_the_same_images_teach_the_same(tmp_path):
    pixels = (torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 255).to(torch.uint8)
    found = []
    for name, images in (("bytes", pixels), ("floats", vae.images.to_float(pixels))):
        run = fit(short(), tmp_path / name, device="cpu", train_set=images, val_set=images)
        found.append(untimed(run))
    assert found[0] == found[1]


def test_items_are_read_anew_each_time_and_in_batches_where_the_dataset_can(tmp_path):
    asked = []

    class Counting(Discs):
        def __getitems__(self, indices):
            asked.append(tuple(indices))
            return [self[i] for i in indices]

    fit(short(epochs=2), tmp_path / "run", device="cpu", model=Plain(), train_set=Counting(24), val_set=Discs(4))
    batches = [batch for batch in asked if len(batch) == 12]
    assert len(set(batches)) == 4 and all(sorted(a + b) == list(range(24)) for a, b in (batches[:2], batches[2:]))


class Uneven(Discs):
    def __getitem__(self, index):
        image = super().__getitem__(index)[0]
        return image if index < 40 else image[:, :5, :5]


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        (Discs(0), "train_set is empty"),
        ([], "train_set is empty"),
        (Discs(1), "holds a single image"),
        (iter([]), "with __len__ and __getitem__, not list_iterator"),
        ([object()] * 4, r"Item 0 of the train_set is not a tensor \(C, H, W\) .* but object"),
        (torch.zeros(9, 8, 8), r"but torch.float32 \[8, 8\]"),
        (torch.zeros(9, 1, 8, 8, dtype=torch.int64), "but torch.int64"),
        (torch.full((9, 1, 8, 8), 200.0), "values from 200 to 200; floats in"),
        (torch.full((9, 1, 8, 8), float("nan")), "values from nan to nan"),
        (torch.zeros(9, 1, 8, 6), "square, not 6x8"),
    ],
)
def test_data_that_are_none_are_refused_and_nothing_begun(tmp_path, dataset, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(short(), tmp_path / "run", device="cpu", model=Plain(), train_set=dataset)
    assert not (tmp_path / "run").exists()


def test_items_of_another_shape_end_the_run_with_a_sentence_and_what_it_had(tmp_path):
    run = fit(short(epochs=1), tmp_path / "run", device="cpu", model=Plain(), train_set=Discs(), val_set=Discs(4))
    kept = (run.model_folder() / "model.safetensors").read_bytes()
    with pytest.raises(
        InputError, match=r"Item 4\d of the train_set is floats \[1, 5, 5\] and the first is floats \[1, 8, 8\]"
    ):
        options = {"train_set": Uneven(), "val_set": Discs(4)}
        fit(short(), run.folder, resume=True, device="cpu", model=Plain(), **options)
    assert (run.model_folder() / "model.safetensors").read_bytes() == kept
    assert run.state()["state"] == "failed" and "all must be alike" in run.state()["reason"]


# -- losses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        ("mse", "An objective is a function of"),
        (
            lambda x, y, q, step: torch.tensor(float("nan")) * y.mean(),
            "The objective's loss is nan on the first images",
        ),
        (lambda x, y, q, step: {"loss": y.mean(), "odd": float("inf")}, "The objective's odd is inf"),
        (lambda x, y, q, step: {"loss": y.mean(), "map": y}, r"map is of shape \[2, 1, 8, 8\]"),
        (lambda x, y, q, step: {"loss": y.mean(), "step": y.mean()}, "'step' is none"),
        (lambda x, y, q, step: {"loss": y.mean(), "val_x": y.mean()}, "'val_x' is none"),
        (lambda x, y, q, step: y.mean().item(), "loss is of float"),
        (lambda x, y, q, step: x.mean(), "depends on no parameter that is trained"),
    ],
)
def test_an_objective_that_cannot_be_is_one_sentence(tmp_path, objective, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(short(), tmp_path / "run", device="cpu", model=Plain(), train_set=Discs(), objective=objective)


def test_a_loss_of_a_frozen_part_alone_is_refused_and_the_run_before_it_stays(tmp_path):
    options = {"device": "cpu", "train_set": Discs()}
    run = fit(short(epochs=1, freeze="encoder"), tmp_path / "run", model=Plain(), **options)
    names = ("metrics.jsonl", run.model_folder() / "model.safetensors", run.model_folder() / "trainer.pt")
    before = [(run.folder / name).read_bytes() for name in names]
    with pytest.raises(InputError, match="no parameter that is trained, and the encoder is frozen"):
        latent = {"objective": lambda x, x_hat, posterior, step: posterior.mean.square().mean()}
        fit(short(epochs=4), run.folder, resume=True, model=Plain(), **latent, **options)
    assert [(run.folder / name).read_bytes() for name in names] == before


def test_an_objective_whose_terms_change_or_go_wrong_later_ends_the_run(tmp_path):
    def fickle(x, x_hat, posterior, step):
        return squared(x, x_hat, posterior, step) | ({"more": x_hat.mean()} if step == 3 else {})

    def lost(x, x_hat, posterior, step):
        return {"loss": (x_hat - x).square().mean(), "ratio": x_hat.mean() / (0.0 if step == 3 else 1.0)}

    for number, (objective, sentence) in enumerate(
        (
            (fickle, "terms were loss, reconstruction, kl, brightness, and are"),
            (lost, "objective's ratio is -?inf at step 4"),
        )
    ):
        with pytest.raises(InputError, match=sentence):
            fit(short(), tmp_path / str(number), device="cpu", model=Plain(), train_set=Discs(), objective=objective)
        assert load_state(tmp_path / str(number))["step"] == 0


def load_state(folder):
    return torch.load(vae.Run(folder).model_folder() / "trainer.pt", weights_only=True)


def test_a_run_of_a_bare_loss_is_not_gone_on_with_by_the_configs_own(tmp_path):
    options = {"device": "cpu", "train_set": Discs()}
    bare = lambda x, x_hat, posterior, step: (x_hat - x).square().mean()  # noqa: E731
    run = fit(short(epochs=1), tmp_path / "run", model=Plain(), objective=bare, **options)
    with pytest.raises(InputError, match="resume it with the objective it began with"):
        fit(short(), run.folder, resume=True, model=Plain(), **options)


# -- callbacks ------------------------------------------------------------------------------------------------------


class Diary(vae.Callback):
    def __init__(self):
        self.events: list[Event] = []
        self.losses: list[float] = []

    def on_step(self, event):
        assert not event.model.training and not torch.is_grad_enabled()
        self.losses.append(event.terms["loss"].item())

    def on_epoch(self, event):
        self.events.append(event)

    on_preview = on_checkpoint = on_epoch


def test_callbacks_hear_of_everything_once(tmp_path):
    diary, names = Diary(), []
    config = short(epochs=2, flip=True, ema_images=100)
    run = fit(config, tmp_path / "run", device="cpu", model=Plain(), train_set=Discs(),
              callbacks=[diary, lambda event: names.append((event.name, event.step))])  # fmt: skip
    steps = [line for line in run.metrics() if line["kind"] == "step"]
    assert diary.losses == pytest.approx([line["loss"] for line in steps]) and len(steps) == 8
    assert [name for name in names if name[0] == "step"] == [("step", step) for step in range(1, 9)]
    epochs = [event for event in diary.events if event.name == "epoch"]
    assert [event.metrics for event in epochs] == [line for line in run.metrics() if line["kind"] == "epoch"]
    shown = [event for event in diary.events if event.name == "preview"]
    assert [event.step for event in shown] == sorted({preview["step"] for preview in run.previews()})
    assert all(set(event.images) == {"reconstruction", "samples"} for event in shown)
    kept = [event for event in diary.events if event.name == "checkpoint"]
    assert [event.step for event in kept] == [0, 8] and kept[-1].folder == run.model_folder()


def test_a_callback_that_looks_changes_nothing_and_one_that_stops_stops(tmp_path):
    options = {"device": "cpu", "train_set": Discs()}
    torch.manual_seed(0)
    modules = [Plain() for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    quiet = fit(short(), tmp_path / "quiet", model=modules[0], **options)

    def curious(event):
        torch.rand(3)
        event.model.encode(torch.zeros(1, 1, 8, 8))

    watched = fit(short(), tmp_path / "watched", model=modules[1], callbacks=curious, **options)
    assert untimed(watched) == untimed(quiet)

    class Enough(vae.Callback):
        def on_step(self, event):
            if event.step == 3:
                event.stop()

    stopped = fit(short(), tmp_path / "stopped", model=Plain(), callbacks=(Enough(),), **options)
    assert stopped.state()["step"] == 3 and stopped.state()["reason"] == "Stopped by a callback."
    assert load_state(stopped.folder)["step"] == 3


def test_callbacks_of_a_captured_update_hear_its_terms_once_a_step(tmp_path, monkeypatch):
    from vae.training import cuda_graph

    class Captured(cuda_graph.GraphedUpdate):
        """On the CPU, with warm-up updates that nobody may hear of, and the graph's work done as it is."""

        def _capture(self):
            kept = [(tensor, tensor.clone()) for tensor, _ in self._snapshot()[0]]
            self._replayed()
            for tensor, before in kept:
                tensor.copy_(before)
            for entries in self.update.optimizer.state.values():
                for value in entries.values():
                    value.zero_()
            self.graph = type("Graph", (), {"replay": staticmethod(self._replayed)})

    steps = []
    look = lambda event: steps.append((event.step, event.terms["loss"].item())) if event.name == "step" else None  # noqa: E731
    plain = fit(tiny(epochs=1), tmp_path / "plain", device="cpu", callbacks=look)
    eager, steps = steps, []
    monkeypatch.setattr("vae.training.loop.why_not", lambda *_: None)
    monkeypatch.setattr("vae.training.loop.captured", Captured)
    fit(tiny(epochs=1), tmp_path / "graphed", device="cpu", callbacks=look)
    assert [step for step, _ in steps] == list(range(1, 11)) == [step for step, _ in eager]
    assert [loss for _, loss in steps] == pytest.approx([loss for _, loss in eager], rel=1e-4)
    assert plain.state()["state"] == "finished"


@pytest.mark.parametrize("wrong", [7, "epoch", vae.Callback, [object()]])
def test_what_is_no_callback_is_refused(tmp_path, wrong):
    with pytest.raises(InputError, match=r"A callback is a vae\.Callback or a function"):
        fit(short(), tmp_path / "run", device="cpu", callbacks=wrong)
    assert not (tmp_path / "run").exists()


def test_what_a_callback_raises_ends_the_run_and_keeps_what_it_had(tmp_path):
    def failing(event):
        if event.name == "step" and event.step == 2:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(short(), tmp_path / "run", device="cpu", model=Plain(), train_set=Discs(), callbacks=failing)
    assert vae.Run(tmp_path / "run").state()["state"] == "failed"
    assert load_state(tmp_path / "run")["step"] == 0
