import sys

import numpy as np
import pytest
from PIL import Image

from vae.animation import write_animation
from vae.errors import InputError


def grey_frames(n=6, size=(20, 16)):
    ramp = np.linspace(0, 255, size[0] * size[1]).astype(np.uint8).reshape(size[1], size[0])
    return [Image.fromarray(np.roll(ramp, 7 * i, axis=1)) for i in range(n)]


def colour_frames(n=5, size=(48, 40)):
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / max(size)
    return [
        Image.fromarray((np.stack([x, y, np.full_like(x, i / n)], -1) * 255).round().astype(np.uint8)) for i in range(n)
    ]


def read_gif(path):
    with Image.open(path) as image:
        frames, durations = [], []
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(image.convert("RGB"))
            durations.append(image.info["duration"])
        return frames, durations, image.info.get("loop")


def decibels(a, b):
    error = np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


def test_grey_gif_keeps_every_value(tmp_path):
    frames = grey_frames()
    write_animation(frames, tmp_path / "a.gif", fps=24)
    back, durations, loop = read_gif(tmp_path / "a.gif")
    assert len(back) == len(frames) and loop == 0
    for frame, read in zip(frames, back, strict=True):
        np.testing.assert_array_equal(np.asarray(frame.convert("RGB")), np.asarray(read))
    assert sum(durations) == 250  # six frames at 24 a second, though a GIF cannot say 41.67 ms


def test_grey_pictures_in_rgb_are_grey_too(tmp_path):
    frames = [frame.convert("RGB") for frame in grey_frames()]
    write_animation(frames, tmp_path / "a.gif")
    back, _, _ = read_gif(tmp_path / "a.gif")
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(frames, back, strict=True))


def test_colour_gif_is_close(tmp_path):
    frames = colour_frames()
    write_animation(frames, tmp_path / "a.gif", loop=False)
    back, _, loop = read_gif(tmp_path / "a.gif")
    assert loop is None and len(back) == len(frames)
    assert min(decibels(a, b) for a, b in zip(frames, back, strict=True)) > 33


def test_few_colours_are_kept_exactly(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2, (2, 16, 16, 3), np.uint8) * 255
    frames = [Image.fromarray(p) for p in pixels]
    write_animation(frames, tmp_path / "a.gif")
    back, _, _ = read_gif(tmp_path / "a.gif")
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(frames, back, strict=True))


def test_png_strip(tmp_path):
    frames = colour_frames(3)
    write_animation(frames, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as strip:
        pixels = np.asarray(strip)
    assert pixels.shape == (40, 3 * 48 + 2 * 2, 3)
    np.testing.assert_array_equal(pixels[:, 100:148], np.asarray(frames[2]))


def test_mp4(tmp_path):
    av = pytest.importorskip("av", reason="the library av is not installed")
    frames = colour_frames(5, size=(47, 35))
    write_animation(frames, tmp_path / "a.mp4", fps=12)
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        back = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert stream.codec_context.name == "h264" and stream.average_rate == 12
    assert len(back) == 5 and back[0].shape == (36, 48, 3)
    assert min(decibels(np.asarray(a), b[:35, :47]) for a, b in zip(frames, back, strict=True)) > 30


def test_mp4_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="pip install av"):
        write_animation(grey_frames(), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "frames, name, fps, words",
    [
        (grey_frames(2), "a.avi", 24, "ending in .gif, .mp4 or .png"),
        (grey_frames(2), "a", 24, "ending in"),
        ([], "a.gif", 24, "one frame or more"),
        ([*grey_frames(1), *colour_frames(1)], "a.gif", 24, "same size"),
        (grey_frames(2), "a.gif", 0, "1 to 50"),
        (grey_frames(2), "a.gif", float("nan"), "1 to 50"),
        (grey_frames(2), "none/a.gif", 24, "cannot be written"),
    ],
)
def test_refusals(tmp_path, frames, name, fps, words):
    with pytest.raises(InputError, match=words):
        write_animation(frames, tmp_path / name, fps=fps)
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_the_old_file(tmp_path, monkeypatch):
    write_animation(grey_frames(2), tmp_path / "a.gif")
    before = (tmp_path / "a.gif").read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match="No space left"):
        write_animation(grey_frames(4), tmp_path / "a.gif")
    assert [f.name for f in tmp_path.iterdir()] == ["a.gif"] and (tmp_path / "a.gif").read_bytes() == before


def test_one_frame(tmp_path):
    for name in ("a.gif", "a.png"):
        write_animation(grey_frames(1), tmp_path / name)
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("L")), np.asarray(grey_frames(1)[0]))
