"""The network of the Fréchet Inception Distance, with weights that have learned nothing: its own need a network."""

import pytest
import torch

from vae import images, inception
from vae.errors import InputError


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = inception.Inception()
    state = {name: x for name, x in network.state_dict().items() if "num_batches" not in name}
    generator = torch.Generator().manual_seed(0)
    for x in state.values():
        if x.ndim == 4:  # alike on every platform, unlike what torchvision draws
            x.copy_(torch.randn(x.shape, generator=generator) / (x[0].numel() / 2) ** 0.5)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(state, path)
    return path


def test_it_gives_what_the_fields_implementation_gives(weights, monkeypatch):
    """The numbers are those of torch-fidelity 0.4.0's FeatureExtractorInceptionV3 with these weights."""
    monkeypatch.setattr(inception, "fetch_weights", lambda: weights)
    network = inception.inception_features()
    ramp = (torch.arange(64 * 90 * 3) * 7 % 251).view(1, 3, 64, 90).to(torch.uint8)
    features, probabilities = network.train()(images.to_float(ramp))
    assert features.shape == (1, inception.FEATURES) and probabilities.shape == (1, inception.CLASSES)
    torch.testing.assert_close(
        features[0, :4], torch.tensor([0.013887, 0.470904, 0.038437, 0.262791]), atol=1e-5, rtol=1e-3
    )
    assert not any(p.requires_grad for p in network.parameters()) and not network.training


def test_enlarging_is_tensorflows():
    """Pixels lie at i * length / 299: the first is the first, and the last ones repeat the edge."""
    x = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    row = inception._prepared(x)[0, 0, 0] * 128 / 127.5 + 0.5 / 127.5
    assert row[0] == pytest.approx(0, abs=1e-6) and row[149] == pytest.approx(2 * 149 / 299, abs=1e-5)
    assert torch.allclose(row[150:], torch.ones(149), atol=1e-5)


def test_weights_that_cannot_be_had_are_one_sentence(monkeypatch, tmp_path):
    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(
        InputError, match=r"^The Fréchet distance by InceptionV3 .* cannot be downloaded .*efficientnet"
    ):
        inception.inception_features()
