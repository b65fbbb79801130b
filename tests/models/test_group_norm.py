import pytest
import torch
from torch import nn

import vae
from vae.models.group_norm import GroupNorm, _Rows, exact_group_norm


def norms(dtype):
    """Ours, and PyTorch's with the same weights."""
    torch.manual_seed(0)
    ours, theirs = GroupNorm(3, 12), nn.GroupNorm(3, 12)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    return ours.to(dtype), theirs.to(dtype)


def gradients(norm, x, weights):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = norm(x)
    (y.float() * weights).sum().backward()
    return [y.detach(), x.grad, norm.weight.grad, norm.bias.grad]


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (24, 20)])
def test_values_and_gradients_are_pytorchs(size):
    ours, theirs = norms(torch.float64)
    x = torch.randn(4, 12, *size, dtype=torch.float64).mul(3).add(2).contiguous(memory_format=torch.channels_last)
    weights = torch.randn(4, 12, *size)
    names = ("y", "dx", "dweight", "dbias")
    for name, a, b in zip(names, gradients(ours, x, weights), gradients(theirs, x, weights), strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


def test_a_group_of_one_number_is_its_own_mean():
    ours, _ = norms(torch.float32)
    narrow = type(ours)(4, 4)
    torch.testing.assert_close(narrow(torch.randn(1, 4, 1, 1)), torch.zeros(1, 4, 1, 1), atol=1e-3, rtol=0)


def test_its_gradients_are_those_of_differences():
    ours, _ = norms(torch.float64)
    x = torch.randn(2, 12, 3, 2, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: _Rows.apply(*given, 3, 1e-5, False), (x, ours.weight, ours.bias))


def test_bfloat16_is_as_near_to_the_truth_as_pytorchs():
    ours, theirs = norms(torch.float32)
    _, exact = norms(torch.float64)
    # A mean of three standard deviations, as an activation's may be: where a variance loses digits.
    x = torch.randn(8, 12, 32, 32).add(3).bfloat16().contiguous(memory_format=torch.channels_last)
    weights = torch.randn(8, 12, 32, 32)
    truth = gradients(exact, x.double(), weights)

    def errors(found):
        return [((a.double() - b).norm() / b.norm()).item() for a, b in zip(found, truth, strict=True)]

    found, known = errors(gradients(ours, x, weights)), errors(gradients(theirs, x, weights))
    assert all(a <= max(2 * b, 0.01) for a, b in zip(found, known, strict=True)), (found, known)


def test_training_takes_the_fast_way_and_inference_pytorchs():
    ours, _ = norms(torch.float32)
    x = torch.randn(2, 12, 20, 20).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert type(ours(x).grad_fn).__name__ == "_RowsBackward"
    small = x.detach()[..., :4, :4].contiguous(memory_format=torch.channels_last).requires_grad_()
    assert ours(small).is_contiguous(memory_format=torch.channels_last)
    assert ours(x.detach().contiguous().requires_grad_()).grad_fn.name() != "_RowsBackward"
    with torch.no_grad():
        assert ours(x).grad_fn is None


@pytest.mark.parametrize(("size", "mean"), [((5, 7), 30), ((1, 1), 0), ((97, 61), 3), ((256, 256), 0)])
@torch.no_grad()
def test_large_images_and_large_means_lose_no_digits(size, mean):
    """PyTorch's own kernel for channels-last order is wrong by more than 2e-5 in three of these."""
    _, exact = norms(torch.float64)
    x = torch.randn(2, 12, *size).add(mean).contiguous(memory_format=torch.channels_last)
    weight, bias = exact.weight.float(), exact.bias.float()
    y, mean, rstd = exact_group_norm(x, weight, bias, 3, 1e-5)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y.double(), exact(x.double()), atol=1e-5, rtol=0)
    grouped = x.double().unflatten(1, (3, -1)).flatten(2)
    torch.testing.assert_close(mean.double(), grouped.mean(2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rstd.double(), (grouped.var(2, correction=0) + 1e-5).rsqrt(), atol=0, rtol=1e-4)


def test_a_latent_lies_as_its_copy_from_a_file_would_and_so_decodes_alike():
    model = vae.load("dogs-vae", device="cpu")
    with torch.inference_mode():
        posterior = model.encode(torch.rand(1, 3, 64, 72, generator=torch.manual_seed(0)) * 2 - 1)
        assert posterior.mean.is_contiguous() and posterior.logvar.is_contiguous()
        copy = torch.from_numpy(posterior.mean.numpy().copy())
        assert torch.equal(model.decode(posterior.mean), model.decode(copy))
