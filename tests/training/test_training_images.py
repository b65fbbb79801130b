"""The images of a training: validation data that lie apart, and transforms."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import dots, tiny
from typer.testing import CliRunner

from vae.cli.main import app
from vae.data.own_set import OwnSet
from vae.data.sets import load_data
from vae.errors import InputError
from vae.models import build
from vae.training import batches
from vae.training.batches import TrainingImages
from vae.training.loop import fit
from vae.training.schedule import plan


def feed(**changes) -> TrainingImages:
    config = tiny(**changes)
    return TrainingImages(config, build(config.model), torch.device("cpu"))


def slices(folder, top, count=10):
    """16-bit images."""
    folder.mkdir()
    for i in range(count):
        Image.fromarray(np.full((8, 8), top, np.uint16)).save(folder / f"{i}.png")
    return str(folder)


def test_validation_images_that_lie_apart(tmp_path):
    data, apart = dots(tmp_path / "train"), dots(tmp_path / "apart")
    (apart / "0.png").unlink()
    found = feed(data=str(data), val_data=str(apart))
    assert (len(found.train_set), len(found.val_set)) == (40, 39)
    run = fit(tiny(data=str(data), val_data=str(apart), epochs=1, batch_size=8), run=tmp_path / "run")
    assert run.state()["train_images"] == 40 and run.state()["val_images"] == 39
    with pytest.raises(InputError, match="no data set 'nowhere'"):
        feed(data=str(data), val_data="nowhere")


def test_validation_images_take_the_training_images_range(tmp_path):
    data, apart = slices(tmp_path / "train", 4000), slices(tmp_path / "apart", 1000)
    for given, white in ((None, 4095), ("0:2000", 2000)):
        found = feed(data=data, val_data=apart, value_range=given)
        assert found.validation(0, 1).max().item() == pytest.approx(1000 / white * 2 - 1, abs=0.005)
        assert [f"{white:,} is white" in remark for remark in found.remarks] == [True, True]
    with pytest.raises(InputError, match="such as 0:4095"):
        tiny(value_range="much")


def test_what_is_left_out_stands_in_the_runs_state_and_on_stderr(tmp_path):
    folder = dots(tmp_path / "d")
    (folder / "notes.txt").write_text("x")
    (folder / "broken.png").write_text("x")
    command = f"train --data {folder} --epochs 1 --no-map-and-priors --run-dir {tmp_path / 'run'} --device cpu --json"
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output
    said = ["1 other file was left out: notes.txt.", "1 image could not be read and was left out: broken.png."]
    assert json.loads((tmp_path / "run" / "state.json").read_text())["remarks"] == said
    assert done.stderr.splitlines()[1:3] == said and json.loads(done.stdout)["state"] == "finished"


# Transforms


class Noisy:
    """Adds to each image a number drawn from PyTorch's generator."""

    def __call__(self, image):
        return image // 2 + torch.randint(0, 100, (1,), dtype=torch.uint8)


@pytest.fixture
def noisy(monkeypatch):
    loaded = batches.load_data
    monkeypatch.setattr(batches, "load_data", lambda *names, **kw: loaded(*names, **kw, transform=Noisy()))


def dealt(found, processes=1, process=0, step=0, steps=3):
    config = tiny(batch_size=40 // processes, epochs=1)
    course = plan(config, len(found.train_set), processes)
    stream = found.batches(course, process, step)
    return [next(stream) for _ in range(steps)]


def test_a_transform_changes_training_images_alone_and_each_in_its_own_way(noisy):
    found, plain = feed(), load_data("digits", size=8)
    first = dealt(found, steps=1)[0]
    learned = (first + 1) * 127.5 - plain.images[found.order(0)[:40]].float() // 2
    drawn = learned.mean((1, 2, 3)).round()
    assert learned.std((1, 2, 3)).max() < 0.01 and len(drawn.unique()) > 20
    assert torch.equal(found.validation(0, 5), found._float(load_data("digits", "val", size=8).images[:5]))
    assert torch.equal(found.spread(5), found._float(plain.preview(5)))
    everything = torch.cat(list(found.all_spread(60.0)))
    assert everything.shape == found.spread(len(plain)).shape
    assert everything.double().sum().item() == pytest.approx(found.spread(len(plain)).double().sum().item())
    assert 0 < sum(map(len, found.all_spread(0.0))) < len(plain)


def test_few_training_images_are_all_looked_at_too():
    few = OwnSet(torch.arange(3.0)[:, None, None, None].expand(3, 1, 8, 8) - 1, "few")
    found = TrainingImages(tiny(), build(tiny().model), torch.device("cpu"), train_set=few, val_set=few)
    assert sorted(x.mean().item() for x in torch.cat(list(found.all_spread(60.0)))) == [-1.0, 0.0, 1.0]


def test_transforms_are_the_same_after_a_pause_and_for_any_number_of_processes(noisy):
    found, before = feed(), torch.get_rng_state()
    whole = dealt(found)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(dealt(feed(), step=2, steps=1)[0], whole[2])
    two = [dealt(feed(), 2, process, steps=1)[0] for process in (0, 1)]
    assert torch.equal(two[0], whole[0][0::2]) and torch.equal(two[1], whole[0][1::2])


def test_torchvisions_transforms(monkeypatch, tmp_path):
    from torchvision.transforms import v2

    transform = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomCrop(8, padding=1)])
    loaded = batches.load_data
    monkeypatch.setattr(batches, "load_data", lambda *names, **kw: loaded(*names, **kw, transform=transform))
    run = fit(replace(tiny(), epochs=1), run=tmp_path / "run")
    assert run.state()["state"] == "finished"
    images = load_data("digits", size=8, transform=transform)
    assert torch.equal(images.batch([0]), load_data("digits", size=8).images[:1]), "batch() gives images as they are"


def test_transforms_that_give_something_else():
    for transform, words in (
        (lambda image: image.float(), "torch.float32 of"),
        (lambda image: image[:, 1:], r"uint8 of \[1, 8, 8\], not torch.uint8 of \[1, 7, 8\]"),
        (lambda image: None, "not NoneType"),
    ):
        data = load_data("digits", size=8, transform=transform)
        with pytest.raises(InputError, match=words):
            data.augmented(data.batch([0, 1]), torch.tensor([1, 2]))
    with pytest.raises(InputError, match="cannot be called"):
        load_data("digits", transform="flip")
