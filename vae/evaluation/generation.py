"""How near a model's images come to a data set's, seen by its own classifier or by a network of photographs."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from vae import images
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.evaluation.classifier import CONFIDENT, RECIPE, Classifier, classifier_for, judge
from vae.evaluation.features import feature_network
from vae.evaluation.frechet import Moments, frechet
from vae.inference import make_generator, sample_latents
from vae.models.base import AutoEncoder
from vae.tiling import decode, encode

BATCH = 256 * 64**2  # pixels that are judged at once, in up to 256 images


def measure_generation(
    model: AutoEncoder,
    train: ImageSet,
    test: ImageSet,
    count: int = 10_000,
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] | None = None,
    features: str | None = None,
) -> dict:
    """Fréchet distances to the test images (see frechet.py), in the features of classifier.py's network, and the
    share of images recognised: given some class with a probability above 0.95. Where the data have no labels, or
    `features` names one of vae.evaluation.features, in the features of that network, InceptionV3 unless named.

    frechet: {floor: of as many training images, reconstructions: of the test images, through the posterior's mean,
    and for each of `model.priors` of `count` samples}; a distance of few images comes out larger than of many, so
    that all but the reconstructions are of the same number, or of all training images if those are fewer.
    features: the name of the network, without which the distances mean nothing. With a classifier also recognised:
    {test, reconstructions, and each prior}; of_class: {class: the share taken for it of those drawn of it alone}, of
    `count` in all, where a prior has the data's classes; classifier: {accuracy on the test images, version of its
    recipe}. `samples` is the number drawn, `seed` theirs. on_progress(what, done, total) is called now and then.
    Raises InputError for a count below 2, for fewer than two images on either side, for data that no classifier can
    be trained on, and for a network that cannot be had.
    """
    if not 2 <= count <= 1_000_000:
        raise InputError(f"The number of samples must be from 2 to 1,000,000, not {count}.")
    report = on_progress or (lambda what, done, total: None)
    if features is None and train.labels is not None and test.labels is not None:
        return _by_classifier(model, train, test, count, seed, report)
    network = feature_network(features or "inception", model.device)
    with torch.inference_mode():
        reference = Moments()
        for batch in _all(test):
            reference.add(_features(network, batch))
            report("test", reference.count, len(test))
        distances = {}
        for name, batches, total in _compared(model, train, test, count, seed):
            found = Moments()
            for batch in batches:
                found.add(_features(network, batch))
                report(name, found.count, total)
            distances[name] = frechet(found, reference)
    return {"samples": count, "seed": seed, "frechet": distances, "features": network.title}


def _by_classifier(model: AutoEncoder, train: ImageSet, test: ImageSet, count: int, seed: int, report) -> dict:
    classifier = classifier_for(train, test, lambda done, total: report("classifier", done, total))
    with torch.inference_mode():
        target, recognised = _judged(classifier, _all(test))
        reference = Moments(target)
        distances, shares = {}, {"test": recognised}
        for name, batches, total in _compared(model, train, test, count, seed):
            found, share = _judged(classifier, batches, lambda done, at=(name, total): report(at[0], done, at[1]))
            distances[name] = frechet(Moments(found), reference)
            if name != "floor":
                shares[name] = share
        names = train.classes or [str(label) for label in range(int(train.labels.max()) + 1)]
        of_class = {}
        for name, prior in model.fitted_priors.items():
            if prior.classes == tuple(names):
                for index, label in enumerate(names):
                    drawn = _drawn(model, name, max(1, count // len(names)), seed, label)
                    report(f"class {label}", index, len(names))
                    taken_for = torch.cat([judge(classifier, pixels)[1].argmax(1) for pixels in drawn])
                    of_class[label] = (taken_for == index).double().mean().item()
    return {
        "samples": count,
        "seed": seed,
        "frechet": distances,
        "features": "classifier of the data",
        "recognised": shares,
        "of_class": of_class,
        "classifier": {"accuracy": classifier.accuracy, "version": RECIPE["version"]},
    }


def _compared(
    model: AutoEncoder, train: ImageSet, test: ImageSet, count: int, seed: int
) -> Iterator[tuple[str, Iterable[Tensor], int]]:
    """What is compared with the test images: its name, its images in batches, and how many there are."""
    order = torch.randperm(len(train), generator=make_generator(seed))[:count]
    yield "floor", _all(train, order), len(order)
    yield "reconstructions", _reconstructed(model, test), len(test)
    for name in model.priors:
        yield name, _drawn(model, name, count, seed), count


def _all(data: ImageSet, order: Tensor | None = None) -> Iterator[Tensor]:
    """uint8 (n, C, H, W): the images of a set in batches."""
    order = torch.arange(len(data)) if order is None else order
    return data.batches(order.split(max(1, min(256, BATCH // (data.shape[-1] * data.shape[-2])))))


def _features(network: nn.Module, pixels: Tensor) -> Tensor:
    device = next(network.parameters()).device
    return torch.cat([network(images.to_float(part.to(device)))[0].cpu() for part in pixels.split(64)])


def _judged(classifier: Classifier, batches, on_progress: Callable[[int], None] | None = None) -> tuple[Tensor, float]:
    """Features of all of an iterable of batches, and the share recognised."""
    features, confident, done = [], 0, 0
    for batch in batches:
        found, probabilities = judge(classifier, batch)
        features.append(found)
        confident += (probabilities.max(1).values > CONFIDENT).sum().item()
        done += len(batch)
        if on_progress:
            on_progress(done)
    return torch.cat(features), confident / done


def _reconstructed(model: AutoEncoder, data: ImageSet) -> Iterator[Tensor]:
    for pixels in _all(data):
        posterior = encode(model, pixels)
        yield _pixels(model, posterior.mode(), pixels.shape[-2:])


def _drawn(model: AutoEncoder, name: str, count: int, seed: int, label: str | None = None):
    for z in sample_latents(model, count, seed, prior=name, batch_size=256, label=label):
        yield _pixels(model, z, None)


def _pixels(model: AutoEncoder, z: Tensor, size) -> Tensor:
    """Decoded and rounded to 8 bits, as images are when they are looked at, and as the data are."""
    return images.to_uint8(decode(model, z, size)).cpu()
