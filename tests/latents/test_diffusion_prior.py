"""The diffusion prior: its network, its training, and its way through the store and the command line."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image

from tests.latents.test_priors import network, noise, pictures
from vae.checkpoints.find_model import weight_files
from vae.checkpoints.store import load, save
from vae.errors import InputError
from vae.images import to_uint8
from vae.inference import Draw, generate, interpolate, latent_of, sample, sample_latents
from vae.latents import priors
from vae.latents.interpolation import interpolate as slerp
from vae.latents.priors import PriorNotFitted
from vae.latents.priors import diffusion_training as training
from vae.latents.priors.diffusion import Diffusion
from vae.latents.priors.diffusion_training import Encoded, Training, fit_diffusion
from vae.latents.priors.fitting import encode_views
from vae.latents.priors.standardizer import Standardizer, fit_channels
from vae.latents.priors.views import view
from vae.tiling import decode

CPU = torch.device("cpu")
SMALL = {"width": 32, "depth": 2, "batch_size": 64, "learning_rate": 4e-3}


def latents(*arguments, **options) -> torch.Tensor:
    return torch.cat(list(sample_latents(*arguments, **options)))


def signs(n, views=2, seed=0):
    """Latents whose four positions agree: all about 1 or all about -1, as no one of them tells alone."""
    g = torch.Generator().manual_seed(seed)
    side = torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.5, -1.0, 1.0)
    z = side + 0.2 * torch.randn(n, 1, 2, 2, generator=g)
    return Encoded(z.expand(views, -1, -1, -1, -1).half(), torch.zeros(views, n, 3))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion") / "model"
    save(network(0), folder)
    return folder


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_it_learns_that_positions_agree():
    run = Training(signs(400), CPU, **SMALL)
    before = run.test()
    for update in range(300):
        run.step(update / 300)
    assert run.test() < 0.6 * before
    drawn = run.result()(torch.randn(400, 4, generator=torch.Generator().manual_seed(1)))
    agree = drawn.sign().sum(1).abs() == 4
    assert agree.float().mean() > 0.9 and 0.3 < (drawn[agree, 0] > 0).float().mean() < 0.7


def test_one_class_alone_is_drawn_and_all_are_without():
    data = signs(400)
    data = replace(data, labels=(data.latents[0, :, 0, 0, 0] > 0).long())
    run = Training(data, CPU, **SMALL)
    for update in range(200):
        run.step(update / 200)
    model, noise = run.now(), torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    assert model.settings["classes"] == 2
    for label, sign in ((0, -1.0), (1, 1.0)):
        assert (model.of_class(noise, 1.0, label).sign() == sign).float().mean() > 0.95
    assert 0.3 < (model(noise)[:, 0] > 0).float().mean() < 0.7


def test_a_class_is_drawn_by_name_after_storing_it(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    data = pictures(40)
    data.labels, data.classes = torch.arange(40) % 2, ["even", "odd"]
    priors.write(weight_files(folder), priors.fit_priors(load(folder), data, ["diffusion"], updates=2))
    model = load(folder)
    assert model.fitted_priors["diffusion"].classes == ("even", "odd")
    odd = latents(model, 3, label="odd", steps=3)
    assert torch.equal(odd, latents(model, 3, prior="diffusion", label=1, steps=3)) and torch.isfinite(odd).all()


def test_untrained_it_leaves_noise_as_it_is():
    x = torch.randn(3, 4 * 5 * 6)
    torch.testing.assert_close(Diffusion((4, 5, 6), 32, 2)(x), x, atol=0.03, rtol=0)


def test_guidance_goes_from_the_first_head_beyond_the_second():
    model = Diffusion((2, 2, 2), 32, 2)
    for parameter in model.parameters():
        parameter.data.normal_(0.0, 0.2)
    u, t = torch.randn(3, 2, 2, 2), torch.full((3, 1), 0.3)
    half, end = model.velocities(u, t)
    assert not torch.allclose(half, end)
    torch.testing.assert_close(model.velocity(u, t), end)
    model.guidance = 2.0
    torch.testing.assert_close(model.velocity(u, t), 2.0 * end - half)


def test_the_steps_are_of_second_order():
    """Halving the steps of a network's equation quarters the error, about."""
    torch.manual_seed(0)
    model = Diffusion((1, 2, 2), 32, 2)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x, ends = torch.randn(20, 4), {}
    for model.steps in (16, 32, 512):
        ends[model.steps] = model(x)
    coarse, fine = ((ends[steps] - ends[512]).norm() for steps in (16, 32))
    assert fine < 0.4 * coarse


def test_the_number_drawn_at_a_time_changes_nothing():
    torch.manual_seed(0)
    model, x = Diffusion((1, 2, 2), 32, 2, shift=2.0), torch.randn(70, 4)
    model.heads[1].weight.data.normal_()
    torch.testing.assert_close(model(x)[:3], model(x[:3]))


def test_training_is_the_same_again_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    once, again = (fit_diffusion(signs(50), CPU, updates=3, dropout=0.1, **SMALL) for _ in range(2))
    assert torch.equal(torch.rand(2), expected)
    assert same(once, again)
    assert not same(once, fit_diffusion(signs(50), CPU, seed=1, updates=3, dropout=0.1, **SMALL))


def test_a_training_taken_up_again_is_as_if_it_had_not_stopped(tmp_path):
    place, settings = (tmp_path / training.FILE, "weights"), {"updates": 80, "dropout": 0.1, **SMALL}
    whole = fit_diffusion(signs(50), CPU, **settings)

    def stop(done, total):
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_diffusion(signs(50), CPU, on_progress=stop, unfinished=place, **settings)
    seen, looks = [], []
    options = {"on_progress": lambda done, _: seen.append(done), "unfinished": place, "on_look": looks.append}
    again = fit_diffusion(signs(50), CPU, **options, **settings)
    assert seen[0] == 41 and same(whole, again) and isinstance(looks[0], Diffusion)
    seen.clear()
    assert same(whole, fit_diffusion(signs(50), CPU, **options, **settings)) and not seen, "until it is stored"


def test_an_update_interrupted_in_its_middle_is_made_again(tmp_path, monkeypatch):
    place, settings = (tmp_path / training.FILE, "weights"), {"updates": 12, "dropout": 0.1, **SMALL}
    whole = fit_diffusion(signs(50), CPU, **settings)
    loss, calls = Training._loss, []

    def broken(self):
        calls.append(self.updates)
        found = loss(self)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(Training, "_loss", broken)
    with pytest.raises(KeyboardInterrupt):
        fit_diffusion(signs(50), CPU, unfinished=place, **settings)
    assert same(whole, fit_diffusion(signs(50), CPU, unfinished=place, **settings))
    assert calls[5:7] == [5, 5]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"updates": 60}, {"weights": "other"}, {"width": 64}, {"damage": True}]
)
def test_another_training_is_not_taken_up(tmp_path, change):
    place, settings = (tmp_path / training.FILE, "weights"), {"updates": 4, **SMALL}
    run = Training(signs(50), CPU, **SMALL)
    run.step(0.0)
    shape = list(signs(50).latents.shape)
    run.save(*place, {"seed": 0, "updates": 4, "shape": shape, "mirrored": True, **run.network.settings, **SMALL})
    other = Training(signs(50), CPU, **SMALL)
    assert other.resume(
        *place, {"seed": 0, "updates": 4, "shape": shape, "mirrored": True, **run.network.settings, **SMALL}
    )
    if change.pop("damage", None):
        place[0].write_bytes(place[0].read_bytes()[:-50])
    place = place[0], change.pop("weights", "weights")
    found = fit_diffusion(signs(50), CPU, unfinished=place, **settings | change)
    assert same(found, fit_diffusion(signs(50), CPU, **settings | change))


def test_the_best_on_what_was_held_out_is_kept():
    run = Training(signs(50), CPU, **SMALL)
    run.test()
    best = run.best_loss
    for parameter in run.average.parameters():
        parameter.data += 1.0
    assert run.test() > best and run.best_loss == best
    torch.testing.assert_close(run.result().place, run.network.place.detach(), atol=1e-3, rtol=0)


def test_what_is_held_out_is_not_learned():
    data = signs(101)
    learned, held = data.split()
    assert learned.latents.shape[1] == 96 and len(held) == 10
    numbers = {tuple(z.flatten().tolist()) for z in learned.latents.flatten(0, 1)}
    assert not numbers & {tuple(z.flatten().tolist()) for z in held}


def test_views_are_parts_and_are_described():
    ramp = torch.linspace(-1, 1, 32).expand(64, 1, 32, 32)  # from left to right
    seen, where = view(ramp, torch.Generator().manual_seed(0))
    slope = (seen[..., -8] - seen[..., 8]).mean((1, 2)) / (ramp[..., -8] - ramp[..., 8]).mean((1, 2))
    turned = slope < 0
    assert 0.3 < turned.float().mean() < 0.7
    torch.testing.assert_close(slope.abs(), 1.0 - 0.25 * where[:, 0], atol=0.02, rtol=0)
    centre = seen[..., 15:17].mean((1, 2, 3)) * torch.where(turned, -1.0, 1.0)
    torch.testing.assert_close(centre, 0.25 * where[:, 1], atol=0.03, rtol=0)
    assert where[:, 0].min() >= 0 and where.abs().max() <= 1.0


def test_where_left_is_not_like_right_nothing_is_mirrored(checkpoint):
    ramp = torch.linspace(-1, 1, 32).expand(64, 1, 32, 32)
    seen, _ = view(ramp, torch.Generator().manual_seed(0), mirror=False)
    assert (seen[..., -8] > seen[..., 8]).all()
    model, data = load(checkpoint), pictures(12)
    assert model.in_channels == 1
    _, encoded = encode_views(model, data, parts=1)
    assert not encoded.mirrored and torch.equal(encoded.latents[0], encoded.latents[1])


def test_channels_share_a_frame():
    means = torch.randn(300, 3, 2, 2) * torch.tensor([2.0, 1.0, 1e-4]).view(3, 1, 1) + torch.arange(4.0).view(2, 2)
    means[:, 2] -= torch.arange(4.0).view(2, 2)
    frame, spread = fit_channels(means, torch.full((300, 3, 2, 2), 0.1))
    assert frame.used.tolist() == [True] * 8 + [False] * 4
    assert all(len(set(x[4:8].tolist())) == 1 for x in (frame.mean, frame.scale, spread))
    z = ((means.flatten(1) - frame.mean) / spread)[:, :8]
    assert z[:, 4:].std(unbiased=False).item() == pytest.approx(1.0, abs=1e-3)
    assert z.mean(0)[7] > z.mean(0)[4] + 1.0, "positions keep their own means"


def test_it_is_fitted_stored_and_read_back_bit_for_bit(checkpoint):
    model, weights = load(checkpoint), weight_files(checkpoint)
    quick = priors.fit_priors(model, pictures(60), ["gaussian"])
    found = priors.fit_priors(model, pictures(20), ["diffusion"], updates=2, weights=weights)
    priors.write(weights, quick | found)
    again = load(checkpoint)
    assert again.priors == ["normal", "gaussian", "diffusion"] and priors.best(again) == "diffusion"
    assert torch.equal(again.fitted_priors["diffusion"](noise(5)), found["diffusion"](noise(5)))
    assert again.fitted_priors["diffusion"].core.settings == found["diffusion"].core.settings
    assert priors.for_paths(again).kind == "gaussian"
    with pytest.raises(InputError, match="no way back through a diffusion"):
        again.fitted_priors["diffusion"].inverse(noise(1))
    z = latents(again, 6, seed=5, prior="diffusion")
    assert z.shape == (6, 2, 4, 4) and torch.isfinite(z).all()
    torch.testing.assert_close(latents(again, 3, seed=5, prior="diffusion"), z[:3])
    assert not torch.equal(latents(again, 6, seed=6, prior="diffusion"), z)
    with pytest.raises(InputError, match=r"fitted to latents of \[2, 4, 4\]"):
        again.fitted_priors["diffusion"](noise(1, (2, 8, 8)))


@pytest.fixture(scope="module")
def drawing(checkpoint):
    """A model with a diffusion prior, its network untrained but for the heads, and a gaussian one."""
    torch.manual_seed(0)
    core = Diffusion((2, 4, 4), 32, 2, steps=6)
    for head in core.heads:
        torch.nn.init.normal_(head.weight, std=0.3)
    model, ones, all_ = load(checkpoint), torch.ones(32), torch.ones(32, dtype=torch.bool)
    model.fitted_priors = priors.fit_priors(model, pictures(60), ["gaussian"])
    frame = Standardizer(used=all_, mean=torch.zeros(32), scale=ones)
    model.fitted_priors["diffusion"] = priors.Prior("diffusion", (2, 4, 4), frame, core.eval())
    return model


def test_a_draw_takes_as_many_steps_as_are_asked_for(drawing):
    own = latents(drawing, 3, prior="diffusion")
    assert torch.equal(latents(drawing, 3, prior="diffusion", steps=6), own)
    few = latents(drawing, 3, prior="diffusion", steps=2)
    assert not torch.allclose(few, own, atol=1e-3)
    assert torch.equal(latents(drawing, 3, prior="diffusion"), own), "the prior itself is as it was"
    fine, finer = (latents(drawing, 3, prior="diffusion", steps=steps) for steps in (32, 64))
    assert (fine - finer).abs().max() < (few - finer).abs().max() / 4, "more steps come nearer to the equation"
    found = generate(drawing, 3, prior="diffusion", steps=2)
    assert found.steps == 2 and torch.equal(found.pixels, to_uint8(sample(drawing, 3, prior="diffusion", steps=2)))
    assert generate(drawing, 1, prior="diffusion").steps == 6 and generate(drawing, 1).steps is None


@pytest.mark.parametrize("prior", ["normal", "gaussian"])
def test_steps_of_a_prior_that_takes_none_are_refused(drawing, prior):
    with pytest.raises(InputError, match=f"The {prior} prior takes no number of steps; the diffusion prior does"):
        sample(drawing, 1, prior=prior, steps=4)


@pytest.mark.parametrize("wrong", [{"steps": 10**9}, {"steps": 0}, {"depth": 10**9}, {"width": 10**9}, {"repeats": 0}])
def test_what_a_file_claims_is_checked_before_anything_is_made(wrong):
    with pytest.raises(InputError, match=f"The diffusion's {next(iter(wrong))} must be a whole number from 1"):
        Diffusion((2, 4, 4), **wrong)


@pytest.mark.parametrize("steps", [0, 65, 2.5, "many"])
def test_steps_out_of_range_are_refused(drawing, steps):
    with pytest.raises(InputError, match="The number of steps must be a whole number from 1 to 64"):
        sample(drawing, 1, prior="diffusion", steps=steps)


def test_between_draws_a_path_leads_through_their_noises(drawing, monkeypatch):
    prior, a, b = drawing.fitted_priors["diffusion"], Draw(3, index=2, temperature=0.8), Draw(4, prior="diffusion")
    noise_a = 0.8 * latents(drawing, 3, seed=3)[2]
    path = slerp(noise_a, latents(drawing, 1, seed=4)[0], 5)
    found = interpolate(drawing, [a, b], 5, "prior")
    assert (found.prior, found.mode, found.steps) == ("diffusion", "prior", 6)
    assert torch.equal(found.pixels, to_uint8(decode(drawing, prior(path))))
    ends = latent_of(drawing, a, "diffusion"), latent_of(drawing, b)
    torch.testing.assert_close(prior(path)[[0, -1]], torch.stack(ends), atol=1e-5, rtol=0)
    # in as many steps as an end was drawn in, a part at a time, and in grids and loops
    few = interpolate(drawing, [3, Draw(4, prior="diffusion", steps=2)], 5, "prior")
    assert few.steps == 2 and not torch.equal(few.pixels, interpolate(drawing, [3, 4], 5, "prior").pixels)
    heard = []
    monkeypatch.setattr("vae.inference.BATCH", 2 * 16**2)
    grid = interpolate(drawing, [1, 2, 3, 4], 3, "prior", "grid", progress=lambda *what: heard.append(what))
    assert len(grid.pixels) == 9 and len(interpolate(drawing, [1, 2, 3], 2, "prior", "loop").pixels) == 6
    assert [done for what, done, _ in heard if what == "Decoding"][:2] == [0, 2] and heard[-1][1:] == (9, 9)


def test_from_an_image_there_is_no_way_back_to_the_noise(drawing):
    image = Image.linear_gradient("L")
    for other in (image, Draw(1, prior="normal"), Draw(1, prior="gaussian"), torch.zeros(2, 4, 4)):
        assert interpolate(drawing, [0, other], 3, "prior").prior == "gaussian"
    seed_0 = interpolate(drawing, [0, 1], 2, "prior").pixels[0].int()
    assert (interpolate(drawing, [0, image], 2, "prior").pixels[0].int() - seed_0).abs().max() <= 1, (
        "it stays what it was"
    )
    without = copy.copy(drawing)
    without.fitted_priors = {"diffusion": drawing.fitted_priors["diffusion"]}
    assert interpolate(without, [0, 1], 3, "prior").prior == "diffusion"
    with pytest.raises(PriorNotFitted, match="from an image there is no way back to its noise"):
        interpolate(without, [0, image], 3, "prior")


def test_encoded_views_are_those_of_the_images(checkpoint):
    model, data = load(checkpoint), pictures(12)
    frame, encoded = encode_views(model, data, parts=2, mirror=True)
    assert encoded.latents.shape == (4, 12, 2, 4, 4) and not encoded.where[:2].any() and encoded.where[2:].all(0).any()
    mirrored = pictures(12)
    mirrored.images = mirrored.images.flip(3)
    means = priors.encode_all(model, mirrored)[0].flatten(1)
    spread = (priors.encode_all(model, data)[0].transpose(0, 1).flatten(1).std(1, unbiased=False)).repeat_interleave(16)
    expected = ((means - frame.mean) / spread).view(12, 2, 4, 4)
    torch.testing.assert_close(encoded.latents[1].float(), expected, atol=5e-3, rtol=5e-3)


def test_a_latent_of_too_many_positions_is_refused():
    data = Encoded(torch.zeros(2, 3, 1, 33, 32), torch.zeros(2, 3, 3))
    with pytest.raises(InputError, match="up to 1,024 positions; this model's have 33 x 32"):
        fit_diffusion(data, CPU, updates=1, **SMALL)
