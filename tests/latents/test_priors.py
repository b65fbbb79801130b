import shutil

import pytest
import torch

from vae import sidecar
from vae.checkpoints.find_model import weight_files
from vae.checkpoints.store import load, save
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.inference import sample, sample_latents
from vae.latents import priors
from vae.latents.interpolation import corners, interpolate, loop
from vae.latents.priors.flow import Flow, fit_flow
from vae.latents.priors.gaussian import Gaussian, Mixture
from vae.latents.priors.standardizer import fit_standardizer
from vae.models import build
from vae.models.conv import ConvConfig

TINY = ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1)


def pictures(n, seed=0):
    """Bars of random place and brightness: something that latents can depend on."""
    g = torch.Generator().manual_seed(seed)
    data = ImageSet("bars", (1, 16, 16), None, None)
    data.images = torch.zeros(n, 1, 16, 16, dtype=torch.uint8)
    for image in data.images:
        x, value = torch.randint(1, 14, (), generator=g), torch.randint(60, 255, (), generator=g)
        image[0, 2:14, x : x + 2] = value
    return data


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """(folder, priors): an untrained network is as good a map onto latents as any."""
    folder = tmp_path_factory.mktemp("priors") / "model"
    save(network(0), folder)
    found = priors.fit_priors(load(folder), pictures(400), updates=60)
    priors.write(weight_files(folder), found)
    return folder, found


@pytest.fixture
def copy(fitted, tmp_path):
    return shutil.copytree(fitted[0], tmp_path / "copy")


def network(seed):
    torch.manual_seed(seed)
    model = build(TINY)
    model.encoder[-1].bias.data[2:] = -25.0  # a narrow posterior, so that the latents depend on the image
    return model.eval()


def noise(n, shape=(2, 4, 4), seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def two_moons(n, seed=0):
    """Correlated, with two modes, mean 0 and variance 1: what a single Gaussian cannot be."""
    g = torch.Generator().manual_seed(seed)
    side = torch.where(torch.rand(n, 1, generator=g) < 0.7, 1.0, -1.0)
    z = torch.cat([2.0 * side + 0.3 * torch.randn(n, 1, generator=g), torch.randn(n, 2, generator=g)], 1)
    z[:, 2] += z[:, 1]
    return (z - z.mean(0)) / z.std(0, unbiased=False)


def test_priors_are_read_back_bit_for_bit(fitted):
    folder, found = fitted
    model = load(folder)
    assert model.priors == ["normal", "gaussian", "mixture", "flow"] and model.refused_priors is None
    for kind in priors.QUICK:
        torch.testing.assert_close(model.fitted_priors[kind](noise(5)), found[kind](noise(5)), rtol=0, atol=0)
        assert model.fitted_priors[kind].facts == found[kind].facts and found[kind].facts["images"] == 400


def test_the_global_generator_is_left_alone(fitted):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model = load(fitted[0])
    priors.fit_priors(model, pictures(60), ["flow"], updates=2)
    sample(model, 1, prior="mixture")
    assert torch.equal(torch.rand(2), expected)


def latents(*arguments, **options) -> torch.Tensor:
    return torch.cat(list(sample_latents(*arguments, **options)))


@pytest.mark.parametrize("kind", priors.QUICK)
def test_samples_are_a_function_of_the_seed(fitted, kind):
    model = load(fitted[0])
    z = latents(model, 6, seed=5, prior=kind)
    assert z.shape == (6, 2, 4, 4) and torch.isfinite(z).all()
    torch.testing.assert_close(latents(model, 3, seed=5, prior=kind), z[:3])
    assert not torch.equal(latents(model, 6, seed=6, prior=kind), z)
    assert sample(model, 2, prior=kind).shape == (2, 1, 16, 16)
    narrow = latents(model, 6, seed=5, prior=kind, temperature=0.1)
    assert narrow.std(0).mean() < z.std(0).mean()


def test_the_mixture_follows_the_points_exactly():
    points = two_moons(4000)
    mixture = Mixture.fit(points)
    drawn = mixture(torch.randn(20000, 3, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(drawn.mean(0), points.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(points.T), atol=0.06, rtol=0)
    gap = lambda z: ((z[:, 0] > -0.8) & (z[:, 0] < 0.0)).float().mean()  # noqa: E731
    assert gap(drawn) < 0.02 < gap(Gaussian.fit(points)(torch.randn(20000, 3)))


def test_a_mixtures_component_is_drawn_by_its_weight_and_its_noise_stays_normal():
    mixture = Mixture(torch.tensor([0.2, 0.8]), torch.tensor([[0.0], [100.0]]), torch.ones(2, 1, 1))
    z = mixture(torch.randn(40000, 1, generator=torch.Generator().manual_seed(0)))
    first = z[:, 0] < 50
    assert first.float().mean() == pytest.approx(0.2, abs=0.01)
    for part, centre in ((z[first], 0.0), (z[~first], 100.0)):
        assert part.mean().item() == pytest.approx(centre, abs=0.05)
        assert part.std().item() == pytest.approx(1.0, abs=0.03)
    cold = mixture(noise(50, (1,)), temperature=0.0)  # the centres, and both of them
    assert set(cold.flatten().tolist()) == {0.0, 100.0}


@pytest.mark.parametrize(("counts", "dims"), [([150, 50, 12], 3), ([6, 30, 200], 20), ([30, 30, 30], 130)])
def test_a_mixture_of_labelled_points_draws_each_class_alone(counts, dims):
    """Classes of many points and of fewer than dimensions, with correlations and without."""
    g = torch.Generator().manual_seed(0)
    centres = 8.0 * torch.eye(dims)[:3]
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    points = centres[labels] + torch.randn(len(labels), dims, generator=g)
    mixture = Mixture.fit(points, labels=labels)
    e = torch.randn(2000, dims, generator=g)
    for label, centre in enumerate(centres):
        drawn = mixture.of_class(e, 1.0, label)
        assert torch.equal(torch.cdist(drawn, centres).argmin(1), torch.full((2000,), label))
        torch.testing.assert_close(drawn.mean(0), points[labels == label].mean(0), atol=0.1, rtol=0)
        assert 0.4 < (drawn - centre).std() < 1.3
    taken_for = torch.cdist(mixture(e), centres).argmin(1)
    torch.testing.assert_close(taken_for.bincount() / 2000, torch.tensor(counts) / len(labels), atol=0.04, rtol=0)
    again = Mixture.of_parts(mixture.parts())
    assert all(torch.equal(a, b) for a, b in zip(vars(again).values(), vars(mixture).values(), strict=True))


def test_what_may_as_well_be_another_class_is_drawn_nearer_to_its_own():
    labels = torch.arange(2).repeat(60)
    points = 3.0 * labels[:, None] + torch.randn(120, 2, generator=torch.Generator().manual_seed(0))
    mixture = Mixture.fit(points, labels=labels)
    e = torch.randn(3000, 2, generator=torch.Generator().manual_seed(1))
    own = mixture.labels == 1
    alone = Mixture(mixture.weights[own], mixture.means[own], mixture.roots[own])(e)
    before, after = mixture._share(alone, own), mixture._share(drawn := mixture.of_class(e, 1.0, 1), own)
    assert before.min() < 0.5 and after.min() > before.min() and after.mean() > before.mean()
    clear = before > 0.99
    assert 0.2 < clear.float().mean() < 1 and torch.equal(drawn[clear], alone[clear])


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A folder of a model whose mixture knows two classes: dark bars, and bright ones."""
    folder = tmp_path_factory.mktemp("labelled") / "model"
    data = pictures(300)
    data.labels, data.classes = (data.images.amax((1, 2, 3)) > 160).long(), ["dark", "bright"]
    save(network(0), folder)
    priors.write(weight_files(folder), priors.fit_priors(load(folder), data, ["mixture", "gaussian"]))
    return folder


def test_one_class_is_drawn_by_its_name_or_number_from_the_same_noise(labelled):
    model = load(labelled)
    assert model.fitted_priors["mixture"].classes == ("dark", "bright") and not model.fitted_priors["gaussian"].classes
    bright = latents(model, 5, seed=2, label="bright")
    assert torch.equal(bright, latents(model, 5, seed=2, prior="mixture", label=1))
    assert torch.equal(bright[:3], latents(model, 3, seed=2, label="1"))
    assert not torch.equal(bright, latents(model, 5, seed=2, label="dark"))
    assert torch.equal(sample(model, 2, seed=2, label="bright"), model.decode(bright[:2]))
    core = model.fitted_priors["mixture"].core
    assert not torch.equal(core.labels, torch.zeros_like(core.labels)) and core.weights.sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"label": "green"}, "no class 'green'; it has dark, bright"),
        ({"label": 2}, "no class '2'"),
        ({"label": -1}, "no class '-1'"),
        ({"label": "dark", "prior": "gaussian"}, "of one come from mixture"),
        ({"label": "dark", "prior": "flow"}, "no flow prior yet"),
    ],
)
def test_a_class_that_there_is_not_is_refused(labelled, asked, match):
    with pytest.raises(InputError, match=match):
        sample_latents(load(labelled), 2, **asked)


def test_without_labels_there_are_no_classes(fitted):
    for prior in ("normal", "mixture"):
        with pytest.raises(InputError, match="needs a mixture or a diffusion fitted to labelled images"):
            sample(load(fitted[0]), 1, prior=prior, label=0)


def test_files_of_earlier_versions_are_read(labelled, tmp_path):
    """They have no classes, and a mixture's roots whole, in 32 bits."""
    folder = shutil.copytree(labelled, tmp_path / "old")
    path, belongs = folder / priors.FILE, sidecar.fingerprint(weight_files(folder))
    content, tensors = sidecar.read(path, belongs, "")
    mixture = load(labelled).fitted_priors["mixture"]
    for name in ("triangles", "labels"):
        del tensors[f"mixture.core.{name}"]
    tensors |= {"mixture.core.roots": mixture.core.roots, "mixture.core.means": mixture.core.means}
    del content["priors"]["mixture"]["classes"]
    sidecar.write(path, belongs, content, tensors)
    old = load(folder).fitted_priors["mixture"]
    assert old.classes == () and torch.equal(old(noise(5)), mixture(noise(5)))


@pytest.mark.parametrize("classes", [["dark"], ["dark", "bright", "green"]])
def test_classes_without_gaussians_are_damage(labelled, tmp_path, classes):
    folder = shutil.copytree(labelled, tmp_path / "copy")
    path, belongs = folder / priors.FILE, sidecar.fingerprint(weight_files(folder))
    content, tensors = sidecar.read(path, belongs, "")
    content["priors"]["mixture"]["classes"] = classes
    sidecar.write(path, belongs, content, tensors)
    assert "is damaged" in load(folder).refused_priors


def test_the_gaussian_has_the_points_covariance():
    points = two_moons(3000)
    drawn = Gaussian.fit(points)(torch.randn(50000, 3, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(points.T), atol=0.04, rtol=0)


@pytest.mark.parametrize("kind", priors.QUICK)
def test_fewer_pictures_than_dimensions_will_do(fitted, kind):
    """20 images, 32 dimensions: draws go beyond what the images span, and not far."""
    few = pictures(20)
    prior = priors.fit_priors(load(fitted[0]), few, [kind], updates=20)[kind]
    drawn = prior.frame.standardise(prior(noise(200)).flatten(1))[:, prior.frame.used]
    assert torch.linalg.matrix_rank(drawn) > 20
    assert 0.3 < drawn.std() < 2.0


def test_a_gaussian_of_few_points_is_shrunk_and_of_many_is_not():
    points = two_moons(3000)
    few, many = (Gaussian.fit(part).root for part in (points[:4], points))
    assert (few @ few.T)[1, 2].abs() < (torch.cov(points[:4].T, correction=0))[1, 2].abs()
    torch.testing.assert_close(many @ many.T, points.T @ points / 3000, atol=5e-3, rtol=0)


def test_a_flow_learns_two_modes_and_is_the_same_again():
    points = two_moons(3000)
    flow = fit_flow(points, updates=200, batch_size=128)
    z = flow(torch.randn(500, 3, generator=torch.Generator().manual_seed(1)))
    assert ((z[:, 0] > -0.8) & (z[:, 0] < 0.0)).float().mean() < 0.1
    assert (z[:, 0] > 0).float().mean() == pytest.approx(0.7, abs=0.08)
    again = fit_flow(points, updates=3, batch_size=32)
    once = fit_flow(points, updates=3, batch_size=32)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), once.parameters(), strict=True))
    back = flow.inverse(z)
    torch.testing.assert_close(flow(back), z, atol=1e-3, rtol=0)


def test_an_untrained_flow_is_the_identity():
    x = torch.randn(4, 7)
    torch.testing.assert_close(Flow(7, 32)(x), x, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["gaussian", "flow"])
def test_there_is_a_way_back(fitted, kind):
    prior = fitted[1][kind]
    assert prior.invertible
    z = prior(noise(4))
    back = prior.inverse(z)
    off = (prior(back) - z).flatten(1) / prior.frame.scale  # the noise itself is lost where dimensions hang together
    assert off.abs().max() < 5e-3


def test_a_gaussian_gives_the_noise_back():
    core = Gaussian.fit(two_moons(500))
    torch.testing.assert_close(core.inverse(core(torch.ones(2, 3))), torch.ones(2, 3))


def test_dimensions_that_say_nothing_get_the_noise_itself():
    means = torch.randn(500, 3) * torch.tensor([1.0, 1e-3, 0.0])
    stds = torch.tensor([0.1, 1.0, 0.0]).expand(500, 3)
    frame, points = fit_standardizer(means, stds)
    assert frame.used.tolist() == [True, False, False] and points.shape == (500, 1)
    assert points.std(unbiased=False).item() == pytest.approx(1.0, abs=1e-4)
    z = frame.place(noise(6, (3,)), points[:6])
    torch.testing.assert_close(z[:, 1], noise(6, (3,))[:, 1], atol=1e-2, rtol=0)
    assert torch.isfinite(frame.standardise(z)).all()
    # Stretched to the spread of posterior samples: 1 + 0.01, not 1.
    z = frame.place(torch.zeros(500, 3), points)
    assert z[:, 0].var().item() == pytest.approx((means[:, 0].var() + 0.01).item(), rel=0.01)


def test_priors_of_another_checkpoint_are_refused_by_name(copy):
    save(network(1), copy)  # other weights, the old priors beside them
    model = load(copy)
    assert model.priors == ["normal"]
    with pytest.raises(InputError, match=r"priors\.safetensors belongs to another checkpoint.*fit-prior"):
        sample(model, 1, prior="flow")
    assert sample(model, 1).shape == (1, 1, 16, 16)
    priors.write(weight_files(copy), priors.fit_priors(model, pictures(60), ["gaussian"]))
    assert load(copy).priors == ["normal", "gaussian"]


def test_saving_a_model_takes_its_priors_along(copy, tmp_path):
    model = load(copy)
    again = load(save(model, tmp_path / "new"))
    assert again.priors == model.priors
    torch.testing.assert_close(sample(again, 2, prior="flow"), sample(model, 2, prior="flow"), rtol=0, atol=0)


def test_damaged_priors_are_refused_and_the_model_still_loads(copy):
    path = copy / priors.FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"priors\.safetensors is damaged"):
        latents(load(copy), 1, prior="gaussian")


def test_the_fingerprint_is_of_the_weights_not_of_the_config(copy):
    from dataclasses import replace

    before = sidecar.fingerprint(weight_files(copy))
    model = load(copy)
    model.config = replace(model.config, trained_on="bars")
    save(model, copy)
    assert sidecar.fingerprint(weight_files(copy)) == before
    model.decoder[-1][-1].bias.data += 1.0
    save(model, copy)
    assert sidecar.fingerprint(weight_files(copy)) != before


def test_what_is_missing_is_offered():
    model = build(TINY).eval()
    with pytest.raises(InputError, match=r"no mixture prior yet.*fit-prior"):
        sample(model, 1, prior="mixture")
    with pytest.raises(InputError, match="no prior 'vamp'"):
        sample(model, 1, prior="vamp")


def test_another_latent_size_is_refused(fitted):
    with pytest.raises(InputError, match=r"\[2, 4, 4\]"):
        fitted[1]["flow"](noise(1, (2, 8, 8)))


@pytest.mark.parametrize(
    ("change", "match"),
    [({"kinds": ["vamp"]}, "'vamp'"), ({"data": pictures(1)}, "1 picture; .* two or more")],
)
def test_bad_fits_are_refused(fitted, change, match):
    with pytest.raises(InputError, match=match):
        priors.fit_priors(load(fitted[0]), **({"data": pictures(60), "kinds": ["gaussian"]} | change))


@pytest.mark.parametrize(("value", "match"), [(float("nan"), "not finite"), (0.0, "do not depend")])
def test_latents_that_are_no_use_are_refused(value, match):
    with pytest.raises(InputError, match=match):
        fit_standardizer(torch.full((50, 4), value), torch.ones(50, 4))


def test_a_path_through_the_prior(fitted):
    flow = fitted[1]["flow"]
    a, b = flow(noise(2))
    path = interpolate(a, b, 5, "prior", flow)
    assert torch.equal(path[0], a) and torch.equal(path[-1], b)
    torch.testing.assert_close(path[2:3], flow(interpolate(*noise(2), 5)[2:3]), atol=5e-3, rtol=0)
    with pytest.raises(InputError, match="fit-prior"):
        interpolate(a, b, 5, "prior")
    with pytest.raises(InputError, match="mixture"):
        interpolate(a, b, 5, "prior", fitted[1]["mixture"])


def test_loops_and_grids_through_the_prior_are_made_of_such_paths(fitted):
    flow = fitted[1]["flow"]
    four = list(flow(noise(4)))
    round_trip = loop(four[:3], 4, "prior", flow)
    assert all(torch.equal(round_trip[4 * i], stop) for i, stop in enumerate(four[:3]))
    torch.testing.assert_close(round_trip[4:8], interpolate(four[1], four[2], 5, "prior", flow)[:-1])
    between = corners(four, 3, 5, "prior", flow)
    ends = (between[0, 0], between[0, -1], between[-1, 0], between[-1, -1])
    assert all(torch.equal(x, y) for x, y in zip(ends, four, strict=True))
    torch.testing.assert_close(between[:, 0], interpolate(four[0], four[2], 3, "prior", flow))
    left, right = between[1, 0], between[1, -1]
    torch.testing.assert_close(between[1], interpolate(left, right, 5, "prior", flow), atol=5e-3, rtol=0)
    for bad in (lambda: loop(four, 4, "prior"), lambda: corners(four, 3, 3, "prior")):
        with pytest.raises(priors.PriorNotFitted, match="goes through the space"):
            bad()
    with pytest.raises(InputError, match="one shape"):
        corners([*four[:3], four[3][:, :2]], 3, 3, "prior", flow)


def test_a_loop_closes_and_a_grid_has_its_corners():
    stops = list(noise(3))
    round_trip = loop(stops, 4, "lerp")
    assert round_trip.shape == (12, 2, 4, 4)
    assert all(torch.equal(round_trip[4 * i], stop) for i, stop in enumerate(stops))
    torch.testing.assert_close(round_trip[-1], 0.25 * stops[2] + 0.75 * stops[0])
    four = list(noise(4))
    between = corners(four, 3, 5, "lerp")
    assert between.shape == (3, 5, 2, 4, 4)
    ends = (between[0, 0], between[0, -1], between[-1, 0], between[-1, -1])
    assert all(torch.equal(x, y) for x, y in zip(ends, four, strict=True))
    torch.testing.assert_close(between[1, 2], sum(four) / 4)
    for bad in (lambda: loop(stops[:1], 4), lambda: loop(stops, 10**4), lambda: corners(four[:3], 3, 3)):
        with pytest.raises(InputError):
            bad()
