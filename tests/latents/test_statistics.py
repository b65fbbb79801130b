from dataclasses import replace
from io import BytesIO

import pytest
import torch
from PIL import Image

from vae.checkpoints.find_model import weight_files
from vae.checkpoints.store import load, save
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.images import to_image
from vae.inference import reconstruct
from vae.latents import statistics
from vae.latents.projections import lda, pca, two_dimensions
from vae.models import build
from vae.models.conv import ConvConfig

TINY = ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1)


def pictures(n, classes=3, labelled=True):
    """A class is a bar's place, its brightness varies."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    data = ImageSet("bars", (1, 16, 16), labels if labelled else None, [str(c) for c in range(classes)])
    data.images = torch.zeros(n, 1, 16, 16, dtype=torch.uint8)
    for image, label in zip(data.images, labels.tolist(), strict=True):
        image[0, 2:14, 2 + 3 * label : 4 + 3 * label] = torch.randint(60, 255, (), generator=g)
    return data


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    return save(build(TINY), tmp_path / "model")


def blobs(n=300, dims=6):
    """Three classes apart along the first dimension and the second; most variance, without meaning, along the third."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    z = 0.1 * torch.randn(n, dims, generator=g)
    z[:, 0] += labels.eq(1).float()
    z[:, 1] += labels.eq(2).float()
    z[:, 2] += 5.0 * torch.randn(n, generator=g)
    return z, labels


def test_statistics_are_read_back_as_measured(folder):
    found = statistics.measure(load(folder), pictures(120))
    path = statistics.write(weight_files(folder), found)
    again = statistics.read(weight_files(folder))
    assert path.name == "statistics.safetensors" and again.summary() == found.summary()
    for name, value in vars(found).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(getattr(again, name), value), name
    assert again.sheet == found.sheet and again.classes == ["0", "1", "2"]
    assert torch.equal(again.map("lda").project(found.embeddings), found.map("lda").project(found.embeddings))


def test_the_quantiles_are_of_each_images_own_figures(folder):
    model, data = load(folder), pictures(50)
    found = statistics.measure(model, data).quantiles
    rebuilt = [reconstruct(model, to_image(pixels)) for pixels in data.images]
    for row, figures in zip(
        found, ([r.psnr for r in rebuilt], [r.posterior.kl().item() for r in rebuilt]), strict=True
    ):
        torch.testing.assert_close(row[[0, 32, 64]], torch.tensor(figures).quantile(torch.tensor([0, 0.5, 1])))
        assert row.equal(row.sort().values)


def test_a_file_of_an_earlier_version_is_read_without_quantiles(folder):
    found = statistics.measure(load(folder), pictures(40))
    statistics.write(weight_files(folder), replace(found, quantiles=None))
    again = statistics.of(load(folder))
    assert again.quantiles is None and torch.equal(again.embeddings, found.embeddings)
    statistics.write(weight_files(folder), found)
    assert torch.equal(statistics.of(load(folder)).quantiles, found.quantiles)


def test_moments_are_those_of_the_posteriors(folder):
    model, data = load(folder), pictures(50)
    found = statistics.measure(model, data)
    posterior = model.encode(data.images.float() / 127.5 - 1)
    torch.testing.assert_close(found.mean, posterior.mean.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.kl.sum(), posterior.kl().mean(), atol=1e-4, rtol=1e-4)
    drawn = torch.cat([posterior.sample(torch.Generator().manual_seed(i)) for i in range(200)])
    torch.testing.assert_close(found.std, drawn.std(0), atol=0.05, rtol=0)


def test_active_units_by_burdas_threshold(folder):
    found = statistics.measure(load(folder), pictures(50))
    found.mean_std[:] = 0.099
    found.mean_std[0, 1, 2] = 0.101
    assert found.summary()["active_units"] == 1 and found.most_active()[0] == 6


def test_the_sheet_shows_the_pictures_without_their_border(folder):
    data = pictures(70)
    found = statistics.measure(load(folder), data)
    sheet = Image.open(BytesIO(found.sheet))
    assert found.side == 14 and sheet.size == (60 * 14, 2 * 14)
    cell = sheet.convert("L").crop((14, 14, 28, 28))  # the 62nd image
    shown = torch.tensor(list(cell.tobytes())).view(14, 14).float()
    assert (shown - data.images[found.indices[61], 0, 1:15, 1:15].float()).abs().mean() < 12


@pytest.mark.parametrize("name", ["pca", "lda"])
def test_a_place_on_the_map_leads_to_a_latent_that_projects_there(name):
    z, labels = blobs()
    projection = pca(z) if name == "pca" else lda(z, labels)
    places = torch.tensor([[0.3, -0.7], [2.0, 1.0]])
    base = z[7].view(1, 2, 3)
    torch.testing.assert_close(projection.project(projection.invert(places, base)), places, atol=1e-4, rtol=0)
    here = projection.project(base[None])
    torch.testing.assert_close(projection.invert(here, base)[0], base, atol=1e-5, rtol=0)


def test_pca_sees_the_variance_and_lda_the_classes():
    z, labels = blobs()
    assert pca(z).matrix[:, 0].abs().argmax() == 2
    y = lda(z, labels).project(z)
    centres = torch.stack([y[labels == c].mean(0) for c in range(3)])
    assert (torch.cdist(y, centres).argmin(1) == labels).float().mean() > 0.99
    assert lda(z, labels).matrix[2].abs().max() < 0.1


def test_lda_leaves_out_what_hardly_varies():
    z, labels = blobs()
    whisper = torch.cat([z, 1e-5 * labels[:, None]], 1)  # tells the classes apart perfectly, and is rounding to float16
    found = lda(whisper, labels)
    assert found.matrix[6].abs().max() == 0 and found.matrix.abs().max() < 100
    assert lda(torch.cat([z[:, 2:3], 1e-3 * z], 1), labels) is None


def test_directions_have_a_settled_sign():
    z, _ = blobs()
    torch.testing.assert_close(pca(z).matrix[:, 0], pca(z.flip(0)).matrix[:, 0])


def test_a_plane_moves_its_two_dimensions_alone():
    z, _ = blobs()
    moved = two_dimensions(z, 4, 1).invert(torch.tensor([[9.0, 8.0]]), z[0].view(6, 1, 1))
    assert moved.flatten()[[4, 1]].tolist() == [9.0, 8.0]
    torch.testing.assert_close(moved.flatten()[[0, 2, 3, 5]], z[0][[0, 2, 3, 5]])
    with pytest.raises(InputError, match="from 0 to 5"):
        two_dimensions(z, 0, 6)


def test_without_labels_or_with_one_class_there_is_a_map_and_no_lda(folder):
    for data in (pictures(120, labelled=False), pictures(120, classes=1)):
        found = statistics.measure(load(folder), data)
        assert list(found.projections) == ["pca"]
        statistics.write(weight_files(folder), found)
        assert (statistics.read(weight_files(folder)).labels is None) == (data.labels is None)
        with pytest.raises(InputError, match="three classes"):
            found.map("lda")


def test_fewer_pictures_than_dimensions(folder):
    found = statistics.measure(load(folder), pictures(9))
    assert list(found.projections) == ["pca"] and torch.isfinite(found.map("pca").lift).all()
    with pytest.raises(InputError, match="2 images"):
        statistics.measure(load(folder), pictures(2))


def test_a_plain_auto_encoder_has_no_kl(tmp_path):
    model = build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1, variational=False)).eval()
    found = statistics.measure(model, pictures(40))
    assert found.kl.abs().max() == 0 and found.posterior_std.abs().max() == 0


def test_latents_that_are_not_finite_are_refused(folder):
    model = load(folder)
    model.encoder[-1].bias.data[0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        statistics.measure(model, pictures(40))


def test_statistics_of_another_checkpoint_are_refused_by_name(folder):
    statistics.write(weight_files(folder), statistics.measure(load(folder), pictures(40)))
    torch.manual_seed(1)
    save(build(TINY), folder)
    with pytest.raises(InputError, match=r"statistics\.safetensors belongs to another checkpoint"):
        statistics.read(weight_files(folder))
    (folder / "statistics.safetensors").write_bytes(b"\0" * 50)
    with pytest.raises(InputError, match="damaged"):
        statistics.read(weight_files(folder))
    (folder / "statistics.safetensors").unlink()
    assert statistics.read(weight_files(folder)) is None
