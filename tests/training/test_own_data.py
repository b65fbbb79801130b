"""`fit` with data and a loss of one's own."""

import pytest
import torch
from own_family import Discs, Plain, short, trainer_state
from tiny_runs import tiny, untimed
from torch.utils.data import TensorDataset

import vae
from vae.errors import InputError
from vae.training.loop import fit


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


def squared(x, x_hat, posterior, step):
    return {"loss": (x_hat - x).square().mean(), "brightness": x_hat.mean()}


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


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        ("mse", "An objective is a function of .*, not str"),
        (lambda x, y, q: y.mean(), r"function of \(x, x_hat, posterior, step\), not one that takes others"),
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


@pytest.mark.parametrize("term", ["perceptual", "equivariance"])
def test_terms_that_an_objective_takes_the_place_of_are_not_left_out_in_silence(tmp_path, term):
    with pytest.raises(InputError, match=f"of its {term} term; leave out {term}, or it"):
        fit(short(**{term: 0.5}), tmp_path / "run", device="cpu", objective=lambda x, y, q, step: (x - y).abs().mean())
    assert not (tmp_path / "run").exists()


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
        assert trainer_state(tmp_path / str(number))["step"] == 0


def test_a_run_of_a_bare_loss_is_not_gone_on_with_by_the_configs_own(tmp_path):
    options = {"device": "cpu", "train_set": Discs()}
    bare = lambda x, x_hat, posterior, step: (x_hat - x).square().mean()  # noqa: E731
    run = fit(short(epochs=1), tmp_path / "run", model=Plain(), objective=bare, **options)
    with pytest.raises(InputError, match="resume it with the objective it began with"):
        fit(short(), run.folder, resume=True, model=Plain(), **options)


def test_what_load_data_gave_keeps_its_transform_and_is_readable_after_a_stop(tmp_path):
    seen = []
    train = vae.load_data("digits", size=8, transform=lambda image: seen.append(1) or image // 2)
    val = vae.load_data("digits", "val", size=8, limit_bytes=0)

    def enough(event):
        if event.name == "step":
            event.stop()

    run = fit(tiny(), tmp_path / "run", device="cpu", train_set=train, val_set=val, callbacks=enough)
    assert run.state()["reason"] == "Stopped by a callback." and len(seen) >= 140
    assert len(val.batch(range(200))) == 200, "nothing stops its owner from reading it"


def test_validation_images_of_the_config_beside_a_dataset(tmp_path):
    config = tiny(epochs=1, batch_size=12, val_data="digits")
    run = fit(config, tmp_path / "run", device="cpu", train_set=Discs(60))
    assert (run.state()["train_images"], run.state()["val_images"]) == (60, 1797)


@pytest.mark.parametrize(
    ("settings", "words"), [({"latent_channels": 3}, "leave out latent_channels"), ({"batch_size": "auto"}, "a number")]
)
def test_settings_that_a_network_of_ones_own_does_not_take(tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        fit(short(**settings), tmp_path / "run", device="cpu", model=Plain(), train_set=Discs())
    assert not (tmp_path / "run").exists()
