from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peers import randomise

import vae
from vae import tiling
from vae.errors import InputError
from vae.models import ConvConfig, build
from vae.models.autoencoder_kl import KLConfig
from vae.models.group_norm import SHARED_STATISTICS, GroupNorm
from vae.models.tiny import TinyConfig

CONVOLUTIONS = TinyConfig(
    encoder_block_out_channels=(4, 4),
    decoder_block_out_channels=(4, 4),
    num_encoder_blocks=(1, 1),
    num_decoder_blocks=(1, 1),
)
NORMALISED = KLConfig(block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, mid_block_add_attention=False)


def picture(height, width, n=1, channels=3):
    # Brighter to the right, with detail: tiles differ in their statistics.
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, channels, height, width, generator=generator) - 0.5
    return (x + torch.linspace(-0.5, 0.5, width)).clamp(-1, 1)


@pytest.mark.parametrize("length", [1, 5, 16, 17, 31, 32, 33, 100, 1000])
@pytest.mark.parametrize(("tile", "overlap"), [(16, 4), (16, 0), (16, 8), (7, 3)])
def test_tiles_cover_the_line_and_their_shares_sum_to_one(length, tile, overlap):
    cut = tiling.spans(length, tile, overlap)
    total = torch.zeros(3 * length)
    for span in cut:
        assert span.stop - span.start <= tile
        total[span.at(3)] += span.shares(3)
    torch.testing.assert_close(total, torch.ones(3 * length))
    assert all(span.after >= overlap for span in cut[:-1])


@torch.inference_mode()
def test_exact_for_plain_convolutions_with_enough_overlap():
    model = randomise(build(CONVOLUTIONS))
    x = picture(180, 210, n=2)
    z = model.encode(x).mean
    torch.testing.assert_close(tiling.tiled_encode(model, x, 128, 64).mean, z, atol=1e-5, rtol=0)
    torch.testing.assert_close(tiling.tiled_decode(model, z, 128, 64), model.decode(z), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_exact_when_one_tile_is_the_image():
    model = randomise(build(NORMALISED))
    z = model.encode(picture(40, 24)).mean
    torch.testing.assert_close(tiling.tiled_decode(model, z, 64), model.decode(z), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_shared_statistics_bring_tiles_nearer_to_the_whole(monkeypatch):
    model = randomise(build(NORMALISED))
    x = picture(96, 160)
    posterior = model.encode(x)
    z = posterior.mean
    whole = model.decode(z)

    def errors():
        decoded = (tiling.tiled_decode(model, z, 64, 32) - whole).square().mean()
        tiled = tiling.tiled_encode(model, x, 64, 32)
        return decoded, (tiled.mean - z).square().mean(), (tiled.logvar - posterior.logvar).square().mean()

    shared = errors()
    monkeypatch.setattr(GroupNorm, "forward", torch.nn.GroupNorm.forward)
    assert all(3 * ours < own for ours, own in zip(shared, errors(), strict=True))


@torch.inference_mode()
def test_images_of_a_batch_do_not_share_statistics():
    model = randomise(build(NORMALISED))
    z = torch.randn(2, 4, 24, 40, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0]).view(
        2, 1, 1, 1
    )
    both = tiling.tiled_decode(model, z, 32, 8)
    alone = torch.cat([tiling.tiled_decode(model, part, 32, 8) for part in z.split(1)])
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(50, 77), (3, 9), (64, 64)])
@pytest.mark.parametrize("config", [CONVOLUTIONS, NORMALISED])
def test_any_size_comes_back_at_its_size(size, config):
    model = randomise(build(config))
    x = picture(*size)
    for tile in (None, 0, 32):
        z = tiling.encode(model, x, tile=tile).mode()
        assert z.shape[-2:] == tuple(-(-side // 2) for side in size)
        y = tiling.decode(model, z, size, tile=tile)
        assert y.shape == x.shape and y.abs().max() <= 1.0


@torch.inference_mode()
def test_padding_reflects():
    x = torch.arange(5.0).view(1, 1, 1, 5).expand(1, 1, 5, 5)
    assert tiling.pad(x, 8)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert tiling.pad(x[..., :2], 8)[0, 0, 0].tolist() == [0, 1, 1, 1, 1, 1, 1, 1]


@torch.inference_mode()
def test_batches_that_do_not_fit_are_split(monkeypatch):
    model = randomise(build(NORMALISED))
    x = picture(16, 16, n=5)
    whole = tiling.encode(model, x)
    z = whole.mode()
    pictures = tiling.decode(model, z)
    monkeypatch.setattr(tiling, "_at_once", lambda *_: 2)
    torch.testing.assert_close(tiling.encode(model, x).logvar, whole.logvar, atol=1e-5, rtol=0)
    torch.testing.assert_close(tiling.decode(model, z), pictures, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_progress_counts_every_tile_and_what_it_raises_ends_the_work():
    model = randomise(build(NORMALISED))
    z = torch.zeros(1, 4, 40, 40)
    seen = []
    tiling.tiled_decode(model, z, 32, 8, progress=lambda done, total: seen.append((done, total)))
    total = seen[0][1]
    assert seen == [(i + 1, total) for i in range(total)] and total == 1 + len(tiling.spans(40, 16, 4)) ** 2
    seen.clear()

    def stop(done, total):
        seen.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiling.tiled_decode(model, z, 32, 8, progress=stop)
    assert seen == [1, 2, 3]
    assert SHARED_STATISTICS.get() is None
    torch.testing.assert_close(model.decode(z), randomise(build(NORMALISED)).decode(z))


@pytest.mark.parametrize(("tile", "overlap"), [(4, 0), (0, 0), (32, 17), (32, -2), (-64, 0)])
def test_sizes_that_make_no_tiling(tile, overlap):
    with pytest.raises(InputError, match="Tiles must be at least 8 pixels"):
        tiling.tiled_decode(randomise(build(NORMALISED)), torch.zeros(1, 4, 40, 40), tile, overlap)


def test_large_images_are_tiled_and_small_ones_are_not():
    from vae.models import KL_PRESETS

    with torch.device("meta"):
        sd, small = build(KL_PRESETS["sd"]), build(KL_PRESETS["sd-small"])
    assert tiling.tile_for(sd, 1024, 1024) == 0 and tiling.tile_for(sd, 4096, 4096) == tiling.TILE
    assert tiling.tile_for(small, 2048, 2048) == 0 == tiling.tile_for(sd, 500, 600, 1024)
    assert tiling.tile_for(small, 500, 600, 256) == 256 and tiling.tile_for(sd, 4096, 4096, 0) == 0
    facts = {"device": torch.device("cpu"), "dtype": torch.float32, "downscale": 8}
    for attends, tile in ((True, tiling.TILE), (False, 0)):  # over so many pixels attention takes most of the time
        config = replace(KL_PRESETS["sd-small"], mid_block_add_attention=attends)
        cpu = SimpleNamespace(config=config, **facts)
        assert tiling.tile_for(cpu, 1024, 1024) == 0 and tiling.tile_for(cpu, 1024, 1032) == tile


@pytest.mark.parametrize(
    ("free", "largest", "tile"), [(80, 2048, 1536), (16, 2048, 1536), (8, 1024, 1536), (4, 1024, 1024)]
)
def test_a_gpu_takes_larger_tiles_and_never_more_than_so_much(monkeypatch, free, largest, tile):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * 2**30, 80 * 2**30))
    gpu = SimpleNamespace(config=KLConfig(), device=torch.device("cuda"), dtype=torch.bfloat16)
    assert tiling.tile_for(gpu, largest, largest) == 0
    assert tiling.tile_for(gpu, 4096, 4096) == tile


@torch.inference_mode()
def test_no_seams_in_a_photograph(data_dir):
    import vae
    from vae.images import open_image, to_tensor
    from vae.metrics import psnr

    model = vae.load(data_dir / "taesd")
    x = to_tensor(open_image(sorted((data_dir / "kodak").glob("*.png"))[9]))[..., 200:456, 100:356]
    whole = tiling.decode(model, tiling.encode(model, x, tile=0).mode(), tile=0)
    tiled = tiling.decode(model, tiling.encode(model, x, tile=128).mode(), tile=128)
    assert psnr(x, tiled).item() > psnr(x, whole).item() - 0.3
    # Across the lines where tiles begin, end and meet in the middle, the image changes no more than the whole one.
    factor = model.downscale
    for axis, other in ((-2, -1), (-1, -2)):
        cut = tiling.spans(256 // factor, 128 // factor, 64 // factor)[1:]
        lines = [factor * at - 1 for s in cut for at in (s.start, s.start + s.before // 2, s.start + s.before)]
        seams = [image.diff(dim=axis).abs().mean(dim=(0, 1, other))[lines].mean() for image in (tiled, whole)]
        assert seams[0] < 1.1 * seams[1]


def test_a_batch_divided_among_threads_is_the_batch(monkeypatch, thread_count):
    model = vae.load("mnist-vae", device="cpu")
    x = torch.rand(37, 1, 32, 32) * 2 - 1
    thread_count(2)
    parts, each = [], tiling.each
    monkeypatch.setattr(tiling, "each", lambda compute, given: parts.extend(given) or each(compute, given))
    posterior = tiling.encode(model, x)
    rebuilt = tiling.decode(model, posterior.mean)
    assert len(parts) == 4 and sum(map(len, parts)) == 74
    with torch.no_grad():
        torch.testing.assert_close(posterior.mean, model.encode(x).mean, rtol=0, atol=1e-5)
        torch.testing.assert_close(rebuilt, model.decode(posterior.mean).clamp(-1, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "images", "unused", "count"),
    [
        (64, 1, 0, 1),
        (64, 1, 1, 2),
        (64, 1, 9, 4),
        (64, 1, None, 4),  # not known
        (64, 3, 0, 1),
        (32, 1, 9, 1),  # too small to be shared
        (512, 1, 0, 4),  # large
    ],
)
def test_an_image_is_shared_by_threads_that_find_a_core(monkeypatch, thread_count, side, images, unused, count):
    model = vae.load("dogs-vae", device="cpu")
    thread_count(4)
    monkeypatch.setattr(tiling, "unused_cores", lambda: unused)
    with tiling.few_threads(model, side, side, images):
        assert torch.get_num_threads() == count
    assert torch.get_num_threads() == 4


def test_what_a_gpu_computes_is_told_it_by_this_thread_alone(monkeypatch, thread_count):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (40 * 2**30, 80 * 2**30))
    monkeypatch.setattr(tiling, "each", lambda *_: pytest.fail("worker threads"))
    monkeypatch.setattr(tiling, "unused_cores", lambda: 0)
    thread_count(4)
    gpu = SimpleNamespace(config=ConvConfig(), device=torch.device("cuda"), dtype=torch.float32)
    for images in (1, 64):
        x = torch.zeros(images, 1, 32, 32)
        found = tiling._computed(gpu, lambda part: (len(part), torch.get_num_threads()), x, 32, 32)
        assert found == [(images, 4)]


def test_the_number_of_threads_changes_an_image_in_rounding_alone(monkeypatch, thread_count):
    model = vae.load("dogs-vae", device="cpu")
    thread_count(2)
    x, counts, decoder = torch.rand(1, 3, 64, 64) * 2 - 1, [], model.decoder.forward
    monkeypatch.setattr(model.decoder, "forward", lambda z: counts.append(torch.get_num_threads()) or decoder(z))
    found = []
    for unused in (0, 1):
        monkeypatch.setattr(tiling, "unused_cores", lambda unused=unused: unused)
        found.append(tiling.decode(model, tiling.encode(model, x).mean))
    assert counts == [1, 2]
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)
