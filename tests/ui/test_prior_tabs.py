"""What the page makes of fitted priors: samples side by side, and ways, grids and loops through them."""

import base64
import io
import tempfile
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import tiny

pytest.importorskip("gradio")

import vae
from vae import images, tiling
from vae.checkpoints.find_model import weight_files
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.inference import Draw, latent_of
from vae.latents import interpolation, priors
from vae.models import ConvConfig, build, config_to_dict
from vae.ui import downloads, prior_texts
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.models import ModelServer
from vae.ui.serving.tasks import Stopped
from vae.ui.tabs import interpolate, sample


def saved(folder, gain: float = 1.0, **changes) -> str:
    """gain: of the weights; an untrained network tells next to no difference between images, or latents."""
    model = build(ConvConfig(**{"features": (1, 4, 6, 4), **changes})).eval()
    for weight in model.parameters():
        weight.data *= gain if weight.dim() > 1 else 1.0
    return str(vae.save(model, folder))


def network(folder, seed: int = 0, **changes) -> str:
    """Small enough to fit priors to, and plain, so that even untrained its latents depend on the image."""
    torch.manual_seed(seed)
    small = {"features": (1, 4, 8, 2), "sample_size": 16, "border": 1, "variational": False}
    return saved(folder, 4.0, **small | changes)


def fit(folder, kinds=priors.KINDS) -> None:
    data = ImageSet("blocks", (1, 16, 16), None, None)
    blocks = torch.randint(0, 255, (80, 1, 2, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    data.images = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    model, quick = vae.load(folder), [kind for kind in kinds if kind in priors.QUICK]
    fitted = priors.fit_priors(model, data, quick, updates=5)
    if "diffusion" in kinds:
        fitted |= priors.fit_priors(model, data, ["diffusion"], updates=1)
    priors.write(weight_files(folder), fitted)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = network(tmp_path_factory.mktemp("fitted") / "model")
    fit(folder)
    return folder


@pytest.fixture
def server(tmp_path):
    return ModelServer(Catalog(tmp_path / "runs"))


def test_a_model_is_seen_beside_the_most_alike_of_the_other_kind(tmp_path, monkeypatch):
    catalog = Catalog(tmp_path / "runs")
    assert catalog.counterpart("mnist-ae") == "mnist-vae"
    assert catalog.counterpart("mnist-vae") == "mnist-ae"
    assert catalog.counterpart(None) == catalog.counterpart(catalog.first())
    assert catalog.counterpart(saved(tmp_path / "own", trained_on="mnist")) == "mnist-ae"
    assert catalog.counterpart(saved(tmp_path / "elsewhere", trained_on="digits")) is None
    assert catalog.counterpart(saved(tmp_path / "unsaid")) is None
    with pytest.raises(InputError, match="none-such"):
        catalog.counterpart("none-such")

    small, large = tmp_path / "small", tmp_path / "large"
    saved(small, trained_on="digits", variational=False)
    saved(large, trained_on="digits", variational=False, features=(1, 8, 12, 4))
    monkeypatch.setattr("vae.ui.serving.catalog.bundled", lambda: {"large": large, "small": small})
    assert catalog.counterpart(str(tmp_path / "elsewhere")) == "small"


def test_every_prior_has_its_words():
    assert (
        list(prior_texts.PRIORS) == ["normal", *priors.KINDS] == [option["prior"] for option in prior_texts.options()]
    )


@pytest.mark.parametrize("prior", ["normal", *priors.KINDS])
def test_samples_on_the_page_are_those_of_the_library(server, fitted, prior):
    found = server.sample(fitted, 5, 3, 0.9, prior, small=True)
    assert torch.equal(found.pixels, images.to_uint8(vae.sample(vae.load(fitted), 5, 3, 0.9, prior)))
    assert found.pixels.float().std(0).mean() > 3, "the pictures differ"
    assert found.prior == prior and found.priors == ("normal", *priors.KINDS) and found.refused is None


def test_the_best_prior_is_chosen_where_none_is_named(server, fitted, tmp_path):
    assert server.sample(fitted, 1, 0, 1.0, None).prior == "diffusion"
    assert server.sample(network(tmp_path / "m"), 1, 0, 1.0, None).prior == "normal"


def test_priors_fitted_meanwhile_are_there_without_a_restart(server, tmp_path):
    name = network(tmp_path / "m")
    assert server.sample(name, 1, 0, 1.0, None).priors == ("normal",) and not server.fitted(name)
    fit(name, ["gaussian"])
    assert server.sample(name, 1, 0, 1.0, None).prior == "gaussian" and server.fitted(name)


def half(server, name, n, prior):
    (work,) = server.together([lambda: server.sample_call(name, n, 0, 1.0, prior, small=True)])
    return sample.half(server, name, work)


def test_a_half_without_the_prior_says_how_to_get_it(server, tmp_path):
    name = network(tmp_path / "m", trained_on="MNIST")
    shown, found = half(server, name, 4, "flow")
    assert found is None and shown["model"] == name and shown["variational"] is False
    assert "The README says how" in shown["missing"] and shown["run"] is None
    shown, found = half(server, name, 4, None)
    assert found.prior == "normal" and shown["n"] == 4 and shown["says"] == prior_texts.PRIORS["normal"].for_plain
    with pytest.raises(InputError, match="too many"):
        half(server, name, 10**6, "normal")


def test_a_half_of_a_run_leads_to_the_train_tab(tmp_path):
    server = ModelServer(Catalog(tmp_path / "runs"))
    plain = config_to_dict(ConvConfig(features=(1, 4, 4, 2), sample_size=8, variational=False))
    vae.fit(tiny(epochs=1, model=plain), tmp_path / "runs" / "mine", device="cpu")
    shown, _ = half(server, "mine", 4, "gaussian")
    assert shown["run"] == "mine" and "Train tab fits it" in shown["missing"]
    shown, _ = half(server, "mine", 4, "diffusion")
    assert shown["run"] == "mine" and "then Train a diffusion prior" in shown["missing"]


def test_refused_priors_are_named(server, tmp_path):
    name = network(tmp_path / "m")
    fit(name, ["gaussian"])
    network(tmp_path / "m", seed=1)  # other weights, the old priors beside them
    assert "another checkpoint" in half(server, name, 4, "gaussian")[0]["missing"]
    found = server.interpolate(name, [Draw(0), Draw(1)], 4, None)
    assert "another checkpoint" in found.refused and not found.passable and found.prior is None
    with pytest.raises(InputError, match="another checkpoint"):
        server.interpolate(name, [Draw(0), Draw(1)], 4, "prior")


def test_a_way_through_the_prior_is_the_command_lines(server, fitted):
    model = vae.load(fitted)
    flow = model.fitted_priors["flow"]
    path = interpolation.interpolate(latent_of(model, 3, "flow"), latent_of(model, 4, "flow"), 6, "prior", flow)
    ends = [Draw(3, prior="flow"), Draw(4, prior="flow")]
    found = server.interpolate(fitted, ends, 6, "prior", small=True)
    expected = images.to_uint8(tiling.decode(model, path))
    assert torch.equal(found.pixels, expected) and found.prior == "flow" and found.passable
    assert torch.equal(server.interpolate(fitted, ends, 6, None).pixels, expected)
    assert server.interpolate(fitted, [Draw(3), Draw(4)], 6, None).prior == "diffusion"  # it makes them itself
    plain = server.interpolate(fitted, [Draw(3), Draw(4)], 6, "slerp")
    assert plain.prior is None and torch.equal(plain.pixels[0], server.sample(fitted, 1, 3, 1.0, "normal").pixels[0])


def alike(a, b) -> bool:
    """Whether two images are the same but for rounding, which depends on how many are decoded at once."""
    return (a.int() - b.int()).abs().max() <= 1


def test_grids_and_loops_have_their_ends_where_they_belong(server, fitted):
    ends = [Draw(seed) for seed in range(4)]
    own = [server.sample(fitted, 1, seed, 1.0, "diffusion").pixels[0] for seed in range(4)]
    grid = server.interpolate(fitted, ends, 3, "prior", "grid").pixels
    assert all(alike(grid[i], picture) for i, picture in zip((0, 2, 6, 8), own, strict=True))
    loop = server.interpolate(fitted, ends[:3], 5, "prior", "loop").pixels
    assert len(grid) == 9 and len(loop) == 15
    assert all(alike(loop[i], picture) for i, picture in zip((0, 5, 10), own[:3], strict=True))
    for kind, wrong in (("grid", ends[:3]), ("loop", ends[:2]), ("path", ends)):
        with pytest.raises(InputError, match="endpoints"):
            server.interpolate(fitted, wrong, 3, "slerp", kind)


def test_a_way_just_seen_is_not_computed_again_for_its_file(server, fitted, monkeypatch):
    picture = Image.linear_gradient("L")
    found = server.interpolate(fitted, [picture, Draw(1)], 4, "slerp")

    def interpolate(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr("vae.inference.interpolate", interpolate)
    assert server.interpolate(fitted, [picture.copy(), Draw(1)], 4, "slerp") is found
    for other in ([picture.rotate(90), Draw(1)], [picture, Draw(2)]):
        with pytest.raises(AssertionError):
            server.interpolate(fitted, other, 4, "slerp")


def test_long_ways_report_and_can_be_stopped(server, fitted, monkeypatch):
    monkeypatch.setattr("vae.inference.BATCH", 2 * 16**2)
    heard = []
    server.interpolate(fitted, [Draw(0), Draw(1)], 8, "slerp", report=lambda what, share: heard.append((what, share)))
    assert [share for what, share in heard if what == "Decoding"] == [0.0, 0.25, 0.5, 0.75, 1.0]
    stopped = threading.Event()

    def report(what, share=None):
        if share == 0.5:
            stopped.set()
            raise Stopped

    with pytest.raises(Stopped):
        server.interpolate(fitted, [Draw(2), Draw(3)], 8, "slerp", report=report)
    assert stopped.is_set() and server.sample(fitted, 1, 0, 1.0, "normal").pixels.shape == (1, 1, 16, 16)


CONTROLS = {"made": interpolate.PATH, "path": interpolate.ROUND, "stops": 3, "steps": 8, "side": 3, "pace": 4}


def request(model="m", ends=(), **changes) -> interpolate.Request:
    seeds = [{"kind": "seed", "seed": seed} for seed in range(6)]
    return interpolate.read(model, *(CONTROLS | changes).values(), *[*ends, *seeds][:6])


def test_the_controls_say_what_to_make():
    assert (request().kind, request().mode, request().steps, request().ends) == ("path", "slerp", 8, (Draw(0), Draw(1)))
    assert request(path=None).mode is None and request(path=interpolate.THROUGH).mode == "prior"
    assert len(request(made=interpolate.GRID).ends) == 4 and request(made=interpolate.GRID).steps == 3
    loop = request(made=interpolate.LOOP, stops=5)
    assert loop.labels == ("seed 0", "seed 1", "seed 2", "seed 3", "seed 4") and loop.steps == 4
    request(side=10**9)  # of what is not to be made, nothing is read


@pytest.mark.parametrize(
    "wrong",
    [
        {"made": "a cake"},
        {"made": ["A path (A to B)"]},
        {"path": "bezier"},
        {"path": {}},
        {"steps": 10**6},
        {"steps": None},
        {"made": interpolate.GRID, "side": 100},
        {"made": interpolate.LOOP, "stops": 2},
        {"made": interpolate.LOOP, "stops": 60},
        {"made": interpolate.LOOP, "pace": 0},
        {"ends": [None]},
        {"ends": ["text"]},
    ],
)
def test_nonsense_among_the_controls_is_refused(wrong):
    with pytest.raises(InputError):
        request(**wrong)


def test_a_path_that_the_model_lacks_gives_way_to_one_it_has(server, fitted, tmp_path):
    def no_report(what, share):
        pass

    through = request(fitted, path=interpolate.THROUGH)
    found = interpolate.travel(server, through, no_report)
    assert found.prior == "diffusion" and found.mode == "prior"
    through = request(network(tmp_path / "m"), path=interpolate.THROUGH)
    found = interpolate.travel(server, through, no_report)
    assert found.prior is None and not found.passable and found.mode == "slerp"
    assert interpolate.view_value(through, found)["way"] == "slerp"


def test_the_choice_of_paths_changes_only_where_it_must(server, fitted):
    through = request(fitted, path=interpolate.THROUGH)
    found = interpolate.travel(server, through, lambda what, share: None)
    assert interpolate.path_of(through, found, [True, None]) == {}
    assert list(interpolate.path_of(through, found, [False, None])) == ["choices", "info"]
    first = interpolate.path_of(request(fitted, path=None), found, None)
    assert first == {"choices": list(interpolate.MODES), "info": None, "value": interpolate.THROUGH}


def test_a_route_that_only_seeds_can_take_is_not_offered_to_images(server, tmp_path):
    name = network(tmp_path / "m")
    fit(name, ["diffusion"])
    assert server.fitted(name) == ("diffusion",)
    through = request(name, path=interpolate.THROUGH, ends=[{"kind": "example", "name": "digit-7"}])
    found = interpolate.travel(server, through, lambda what, share: None)
    assert (found.prior, found.mode, found.passable) == (None, "slerp", False)
    change = interpolate.path_of(through, found, [True, None])
    assert change["choices"] == [interpolate.ROUND, interpolate.STRAIGHT] and change["value"] == interpolate.ROUND
    assert "no way back to its noise" in change["info"]
    found = interpolate.travel(server, request(name, path=None), lambda what, share: None)
    assert (found.prior, found.mode, found.passable, found.refused) == ("diffusion", "prior", True, None)


def test_steps_are_asked_for_where_the_prior_takes_them(server, fitted):
    found = server.sample(fitted, 2, 3, 1.0, "diffusion", steps=2)
    assert (found.steps, found.usual) == (2, 16)
    assert not torch.equal(found.pixels, server.sample(fitted, 2, 3, 1.0, "diffusion").pixels)
    call = server.sample_call(
        fitted, 2, 3, 1.0, "flow", instead=True, steps=2
    )  # the page's slider, before it is hidden
    found = server.answer(call)
    assert (found.prior, found.steps, found.usual) == ("flow", None, None)
    with pytest.raises(InputError, match="1000 images in 64 steps each are too many at once; up to 512 are accepted"):
        server.sample(fitted, 1000, 3, 1.0, "diffusion", steps=64)
    facts = {"trained_on": "dog photographs"}
    assert sample.words_of_draw(facts, "diffusion") == "Draw dogs"
    assert sample.words_of_draw(facts, "flow") == sample.words_of_draw({"trained_on": None}, "diffusion")


def frames(n=6, side=16, channels=1) -> torch.Tensor:
    ramp = torch.arange(n * channels * side * side) % 251
    return ramp.view(n, channels, side, side).to(torch.uint8)


@pytest.mark.parametrize(("size", "factor"), [(256, 16), (512, 32), (1080, 67)])
def test_small_pictures_grow_by_whole_factors_up_to_the_size(tmp_path, size, factor):
    pixels = frames()
    strip = Image.open(downloads.animation(pixels, tmp_path, "path", "png", size))
    assert strip.size == (6 * (16 * factor + 2) - 2, 16 * factor)
    small = strip.crop((0, 0, 16 * factor, 16 * factor)).resize((16, 16), Image.Resampling.NEAREST)
    assert images.to_tensor(small).equal(images.to_float(pixels[:1]))
    sheet = Image.open(downloads.animation(frames(9), tmp_path, "grid", "gif", size))
    assert sheet.format == "PNG" and sheet.size == (size // 48 * 48,) * 2


@pytest.mark.parametrize(("kind", "count"), [("path", 10), ("loop", 6)])
@pytest.mark.parametrize("side", [16, 15, 200])
def test_videos_play_in_browsers(tmp_path, kind, count, side):
    av = pytest.importorskip("av")
    with av.open(str(downloads.animation(frames(side=side), tmp_path, kind, "mp4", 256))) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.width % 2 == stream.height % 2 == 0 and stream.width in (256, 15 * 17 + 1)
        assert sum(1 for _ in file.decode(video=0)) == count


def test_photographs_are_given_the_size_itself(tmp_path):
    gif = Image.open(downloads.animation(frames(2, 160, 3), tmp_path, "loop", "gif", 256))
    assert gif.size == (256, 256) and gif.n_frames == 2
    assert Image.open(downloads.animation(frames(4, 160, 3), tmp_path, "grid", "png", 256)).size == (320, 320)


@pytest.mark.parametrize(("kind", "suffix"), [("path", "gif"), ("path", "png"), ("grid", "png")])
def test_what_is_to_be_posted_is_a_square_in_whole_pixels_with_a_caption(tmp_path, kind, suffix):
    pixels = frames(4, side=28)

    def made(caption):
        return Image.open(downloads.animation(pixels, tmp_path, kind, suffix, downloads.POST, caption)).convert("L")

    image, side = made("mnist-vae, seed 3 to seed 4"), 28 if suffix == "gif" else 56
    factor = 1016 // side
    left, top = (1080 - side * factor) // 2, (1016 - side * factor) // 2
    inner = image.crop((left, top, left + side * factor, top + side * factor)).resize((side, side), Image.NEAREST)
    expected = images.to_image(pixels[0]) if suffix == "gif" else images.grid(pixels, columns=2, gap=0)
    assert image.size == (1080, 1080) and inner.tobytes() == expected.tobytes()

    def inked(image):
        return np.asarray(image)[1020:].max(0).nonzero()[0]

    assert 20 < inked(image)[0] < 40 and 1040 < inked(image)[-1] < 1060
    # one that is too long ends before the project's name, which stays where it is
    long = inked(made("a very long name of a model " * 9))
    gaps = np.diff(long)
    assert gaps.max() >= downloads.MARGIN and long[-1] == inked(image)[-1]


def test_a_photograph_to_be_posted_fills_the_square_smoothly(tmp_path):
    gif = Image.open(downloads.animation(frames(2, 160, 3), tmp_path, "loop", "gif", downloads.POST, "a caption"))
    assert gif.size == (1080, 1080) and gif.convert("L").crop((0, 0, 1080, 1016)).getbbox()[2] > 1000


def test_files_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for form, kind in (("gif", "GIF"), ("png", "PNG")):
        uri, ending = downloads.linked(frames(), "path", form, 256)
        assert uri.startswith(f"data:image/{form};base64,") and ending == f".{form}"
        assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).format == kind
    with pytest.raises(InputError, match="too many for one file"):
        downloads.linked(frames(90), "path", "png", 1080)
    monkeypatch.setattr(downloads, "MAX_FILE", 100)
    with pytest.raises(InputError, match="MB"):
        downloads.linked(frames(), "path", "gif", 256)
    assert list(tmp_path.iterdir()) == []
