import base64
import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, features

from vae import images
from vae.errors import InputError
from vae.images import (
    data_uri,
    enlarge,
    fit,
    flatten,
    grid,
    open_image,
    png_bytes,
    to_array,
    to_image,
    to_tensor,
    to_uint8,
)


def photo(size=(40, 30), mode="RGB", seed=0):
    """Smooth colours, so that lossy formats give them back nearly."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    waves = [np.sin(x / 7 + seed), np.cos(y / 5), np.sin((x + y) / 9)]
    return Image.fromarray((np.stack(waves, -1) * 100 + 128).astype(np.uint8)).convert(mode)


def encode(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def error_of(source):
    with pytest.raises(InputError) as caught:
        open_image(source)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and "Traceback" not in message
    return message


def png_header(width, height, colour=2):
    """A PNG that claims a size and has no pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# What is accepted


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM"])
def test_every_accepted_format(form, tmp_path):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = encode(photo(), form)
    (tmp_path / "a").write_bytes(data)
    for source in (data, io.BytesIO(data), tmp_path / "a", str(tmp_path / "a")):
        image = open_image(source)
        assert image.mode == "RGB" and image.size == (40, 30)
        assert np.abs(np.asarray(image, float) - np.asarray(photo(), float)).mean() < 8


def test_grey_stays_grey():
    assert open_image(encode(photo(mode="L"), "PNG")).mode == "L"
    assert open_image(encode(photo(mode="1"), "PNG")).mode == "L"


def test_one_pixel():
    image = open_image(encode(Image.new("RGB", (1, 1), (10, 20, 30)), "PNG"))
    assert image.size == (1, 1)
    assert np.asarray(fit(image, 32, 3)).reshape(-1, 3).tolist() == [[10, 20, 30]] * 1024


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode):
    image = Image.new("RGBA", (3, 1))
    image.putdata([(0, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 128)])
    flat = open_image(encode(image.convert(mode), "PNG"))
    assert flat.mode == ("L" if mode == "LA" else "RGB")
    assert np.asarray(flat.convert("L")).tolist() == [[0, 255, 127]]


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_kept_where_it_is_wanted(channels):
    image = Image.new("RGBA", (2, 2), (200, 200, 200, 255))
    image.putpixel((1, 1), (200, 200, 200, 60))
    opened = open_image(encode(image, "PNG"), transparency=True)
    fitted = fit(opened, 2, channels)
    assert to_array(fitted)[-1].tolist() == [[255, 255], [255, 60]] and (to_array(fitted)[0] == 200).all()
    assert to_image(to_tensor(opened)).mode == "RGB"  # on white, where nobody asked
    again = to_image(torch.from_numpy(to_array(fitted).copy()))
    assert again.mode == fitted.mode and again.tobytes() == fitted.tobytes()
    opaque = open_image(encode(Image.new("L", (2, 2), 9), "PNG"), transparency=True)
    assert opaque.mode == "L" and to_array(fit(opaque, 2, channels))[-1].min() == 255
    sheet = grid(torch.from_numpy(to_array(fitted).copy())[None].repeat(3, 1, 1, 1), columns=2, gap=1)
    assert sheet.mode == fitted.mode and sheet.getpixel((2, 0))[-1] == 255


def test_hidden_colour_of_clear_pixels_does_not_show():
    assert open_image(encode(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), "PNG")).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode, clear", [("L", 7), ("RGB", (1, 2, 3))])
def test_a_colour_declared_transparent_becomes_white(mode, clear):
    image = Image.new(mode, (2, 1), clear)
    image.putpixel((1, 0), 50 if mode == "L" else (50, 50, 50))
    flat = open_image(encode(image, "PNG", transparency=clear))
    assert flat.mode == mode
    assert np.asarray(flat.convert("L")).tolist() == [[255, 50]]


def test_palettes():
    opaque = photo().quantize(16)
    np.testing.assert_array_equal(np.asarray(open_image(encode(opaque, "PNG"))), np.asarray(opaque.convert("RGB")))
    clear = Image.new("P", (2, 1))
    clear.putpalette([9, 9, 9, 200, 0, 0])
    clear.putpixel((1, 0), 1)
    for form in ("PNG", "GIF"):
        flat = open_image(encode(clear, form, transparency=0))
        assert [flat.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 0, 0)]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled(form):
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    flat = open_image(encode(Image.fromarray(deep), form))
    assert flat.mode == "L" and np.asarray(flat).tolist() == [[0, 1, 128, 255]]


def test_16_bit_grey_with_a_clear_value():
    deep = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    deep.info["transparency"] = 257
    assert np.asarray(flatten(deep)).tolist() == [[0, 255, 255]]


def test_big_endian_and_32_bit_integers():
    deep = Image.fromarray(np.array([[0, 32896, 65535]], ">u2"))
    assert np.asarray(flatten(deep)).tolist() == [[0, 128, 255]]
    assert np.asarray(flatten(Image.fromarray(np.array([[-5, 0, 5]], np.int32)))).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.2, 0.2, 0.2], [51, 51, 51]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
        ([float("inf"), 0.5, 1.0], [0, 128, 255]),
    ],
)
def test_float_tiff_is_scaled(values, expected):
    flat = open_image(encode(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    assert np.asarray(flat).tolist() == [expected]


def test_cmyk():
    image = open_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = image.getpixel((4, 4))
    assert image.mode == "RGB" and red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_first_frame_of_an_animation(form):
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    image = open_image(encode(frames[0], form, save_all=True, append_images=frames[1:], **options))
    assert np.abs(np.subtract(image.getpixel((8, 8)), (255, 0, 0))).max() < 4
    image.resize((4, 4)), image.copy(), fit(image, 8, 3)  # usable with its file closed


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(form, orientation):
    upright = Image.new("RGB", (32, 16), "black")
    upright.paste((255, 0, 0), (0, 0, 8, 8))  # red in the top left corner
    stored_from = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that undoes what a viewer has to do
    stored = upright.transpose(Image.Transpose(stored_from[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    image = open_image(encode(stored, form, exif=exif, **options))
    assert image.size == (32, 16)
    assert np.abs(np.asarray(image, int) - np.asarray(upright, int)).mean() < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_unreadable_exif_is_no_reason_to_refuse():
    assert open_image(encode(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).size == (40, 30)


def test_metadata_ends_at_the_door():
    exif = Image.Exif()
    exif[0x0110] = "Camera of Alice"
    image = open_image(encode(photo(), "JPEG", exif=exif, comment=b"at home"))
    assert not image.info and b"Alice" not in png_bytes(image) and b"home" not in png_bytes(image)


def test_size_hint_decodes_a_large_jpeg_small():
    data = encode(photo((1600, 1200)), "JPEG")
    small, full = open_image(data, size_hint=64), open_image(data)
    assert full.size == (1600, 1200) and small.size == (200, 150)
    difference = np.asarray(fit(small, 64, 3), float) - np.asarray(fit(full, 64, 3), float)
    assert np.abs(difference).mean() < 2
    assert open_image(encode(photo(), "JPEG"), size_hint=64).size == (40, 30)


# What is refused


def test_not_a_picture(tmp_path):
    assert "PNG, JPEG" in error_of(b"hello, this is text")
    (tmp_path / "notes.png").write_text("no")
    assert error_of(tmp_path / "notes.png").startswith("notes.png is not a picture")


def test_empty(tmp_path):
    assert "empty" in error_of(b"")
    (tmp_path / "nothing.png").touch()
    assert error_of(tmp_path / "nothing.png") == "nothing.png is empty."


def test_missing_folder_unreadable(tmp_path):
    assert "no file" in error_of(tmp_path / "none.png")
    assert "folder" in error_of(tmp_path)
    assert "cannot be read" in error_of("a\0b.png")


def test_svg():
    assert "SVG" in error_of(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')


def test_formats_that_run_programs_are_not_tried():
    assert "not a picture" in error_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM"])
def test_truncated(form):
    data = encode(photo((200, 150)), form)
    assert any(word in error_of(data[: len(data) // 2]) for word in ("cut off", "not a picture"))


@pytest.mark.parametrize("size", [(20_000, 10_000), (12_000, 10_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_refused_before_decoding(size, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("it was decoded"))
    assert "100 megapixels" in error_of(png_header(*size))


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1), (21, 1)])
def test_strips(size):
    assert "20 times" in error_of(encode(Image.new("L", size), "PNG"))


def test_longest_accepted_strip():
    assert open_image(encode(Image.new("L", (20, 1)), "PNG")).size == (20, 1)


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_give_a_picture_or_a_sentence():
    random = np.random.default_rng(0)
    for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        good = encode(photo((24, 18)), form)
        for _ in range(40):
            bad = np.frombuffer(good, np.uint8).copy()
            places = random.integers(0, len(bad), random.integers(1, 8))
            bad[places] = random.integers(0, 256, len(places))
            try:
                assert open_image(bad.tobytes()).mode in ("L", "RGB")
            except InputError as error:
                assert "\n" not in str(error)


# Fitting


def test_fit_takes_the_middle():
    wide = Image.new("RGB", (90, 30))
    wide.paste((255, 255, 255), (30, 0, 60, 30))
    assert np.asarray(fit(wide, 30, 1)).min() == 255
    tall = np.asarray(fit(wide.rotate(90, expand=True), 10, 1))
    assert tall.shape == (10, 10) and tall[2:-2].min() > 250 and tall.min() > 230  # the edges blend with what was cut


def test_fit_adds_the_border_of_mnist():
    digit = photo((28, 28), "L")
    fitted = np.asarray(fit(digit, 32, 1, border=2))
    np.testing.assert_array_equal(fitted[2:30, 2:30], np.asarray(digit))
    assert fitted.shape == (32, 32) and fitted.sum() == np.asarray(digit).sum()


def test_fit_keeps_a_picture_that_has_its_border():
    fitted = fit(photo((28, 28), "L"), 32, 1, border=2)
    np.testing.assert_array_equal(np.asarray(fit(fitted, 32, 1, border=2)), np.asarray(fitted))


def test_fit_does_not_alias():
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (256, 512)))
    reduced = np.asarray(fit(stripes, 32, 1), int)
    assert abs(reduced - 127).max() < 12  # sampling every 16th column would give all black


@pytest.mark.parametrize("channels, mode", [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_fit_channels(channels, mode):
    for source in ("L", "RGB", "RGBA", "P", "1", "CMYK"):
        assert fit(photo(mode=source), 16, channels).mode == mode


def test_fit_refuses_what_cannot_be():
    for size, channels, border in ((32, 5, 0), (0, 1, 0), (4, 1, 2), (32, 1, -1)):
        with pytest.raises(InputError):
            fit(photo(), size, channels, border)


# Tensors and grids


def test_tensor_round_trip_is_exact():
    every = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    x = to_tensor(every)
    assert x.shape == (1, 1, 16, 16) and x.dtype == torch.float32 and x.min() == -1 and x.max() == 1
    np.testing.assert_array_equal(np.asarray(to_image(x[0])), np.asarray(every))
    colour = photo()
    assert to_tensor(colour).shape == (1, 3, 30, 40)
    np.testing.assert_array_equal(np.asarray(to_image(to_tensor(colour))), np.asarray(colour))


def test_to_image_clamps():
    x = torch.tensor([-5.0, 5.0, float("nan"), float("inf"), -float("inf"), 0.0]).view(1, 1, 6)
    assert np.asarray(to_image(x)).tolist() == [[0, 255, 0, 255, 0, 128]]
    assert to_uint8(torch.zeros(2, dtype=torch.bfloat16, requires_grad=True)).tolist() == [128, 128]


def test_to_image_refuses_other_shapes():
    for shape in ((5, 8, 8), (8, 8), (2, 3, 8, 8)):
        with pytest.raises(ValueError, match="shape"):
            to_image(torch.zeros(shape))


def test_grid_places_each_cell():
    x = torch.stack([torch.full((1, 4, 3), v) for v in (-1.0, -0.5, 0.0, 0.5, 1.0)])
    sheet = np.asarray(grid(x, columns=3, scale=2, gap=1))
    assert sheet.shape == (2 * 8 + 1, 3 * 6 + 2)
    for i, value in enumerate((0, 64, 128, 191, 255)):
        top, left = i // 3 * 9, i % 3 * 7
        assert (sheet[top : top + 8, left : left + 6] == value).all()
    assert (sheet[8] == 128).all() and (sheet[:, 6] == 128).all()


def test_grid_is_square_unless_told():
    assert grid(torch.zeros(9, 3, 4, 4), gap=0).size == (12, 12)
    assert grid(torch.zeros(2, 3, 4, 4), columns=8).size == (10, 4)
    assert grid(torch.zeros(1, 1, 4, 4, dtype=torch.uint8)).size == (4, 4)
    with pytest.raises(ValueError, match="grid"):
        grid(torch.zeros(0, 1, 4, 4))


def test_enlarge_repeats_pixels():
    small = Image.fromarray(np.array([[0, 100], [200, 255]], np.uint8))
    np.testing.assert_array_equal(np.asarray(enlarge(small, 3)), np.asarray(small).repeat(3, 0).repeat(3, 1))


def test_png_and_data_uri_are_lossless():
    image = photo()
    head, body = data_uri(image).split(",")
    assert head == "data:image/png;base64" and base64.b64decode(body) == png_bytes(image)
    np.testing.assert_array_equal(np.asarray(open_image(png_bytes(image))), np.asarray(image))


def test_accepted_formats_are_all_tried():
    Image.init()
    missing = [f for f in images.FORMATS if f not in Image.OPEN]
    assert missing in ([], ["AVIF"])
