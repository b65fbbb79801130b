import pytest
import torch

from vae.models import ConvConfig, build
from vae.training.ema import EMA


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(ConvConfig(features=(1, 4, 4, 2), sample_size=8, border=0))


def test_after_a_half_life_half_of_the_old_weights_is_left(model):
    ema = EMA(model, half_life=100)
    before = {name: tensor.clone() for name, tensor in ema.model.state_dict().items()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    for i in range(10):
        ema.update(images_seen=10_000 + 10 * i, images=10)
    for name, p in model.named_parameters():
        torch.testing.assert_close(ema.model.state_dict()[name], (before[name] + p) / 2)


def test_a_half_life_means_the_same_whatever_the_batch(model):
    averages = []
    for batch in (5, 50):
        ema = EMA(model, half_life=100)
        before = next(ema.model.parameters()).clone()
        with torch.no_grad():
            next(model.parameters()).add_(1.0)
        for _ in range(200 // batch):
            ema.update(10_000, batch)
        averages.append(next(ema.model.parameters()) - before)
    torch.testing.assert_close(*averages)


def test_it_forgets_fast_at_the_beginning(model):
    ema = EMA(model, half_life=10**9)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    ema.update(images_seen=100, images=100)  # ten half-lives of a tenth of the images seen
    assert max(p.abs().max() for p in ema.model.parameters() if p.ndim == 4) < 1e-3


def test_batch_norms_statistics_are_averaged_and_its_counter_copied(model):
    ema = EMA(model, half_life=100)
    model.train()(torch.rand(8, 1, 8, 8) + 3.0)
    ema.update(10_000, 100)
    norm, mine = model.encoder[0][0][1], ema.model.encoder[0][0][1]
    torch.testing.assert_close(mine.running_mean, norm.running_mean / 2)
    assert mine.num_batches_tracked == norm.num_batches_tracked == 1


def test_the_average_gets_no_gradient_and_leaves_the_model_alone(model):
    ema = EMA(model, half_life=100)
    before = [p.clone() for p in model.parameters()]
    ema.update(100, 100)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert not any(p.requires_grad for p in ema.model.parameters()) and next(model.parameters()).requires_grad


def test_without_a_half_life_the_model_is_its_own_average(model):
    ema = EMA(model, half_life=0)
    ema.update(100, 100)
    assert ema.model is model and next(model.parameters()).requires_grad
