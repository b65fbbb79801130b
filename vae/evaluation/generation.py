"""How near a model's images come to a data set's, seen by a classifier trained on it."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae import images
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.evaluation.classifier import CONFIDENT, RECIPE, Classifier, classifier_for, judge
from vae.evaluation.frechet import Moments, frechet
from vae.inference import make_generator, sample_latents
from vae.models.base import AutoEncoder
from vae.tiling import decode


def measure_generation(
    model: AutoEncoder,
    train: ImageSet,
    test: ImageSet,
    count: int = 10_000,
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict:
    """Fréchet distances to the test images (see frechet.py), in the features of classifier.py's network, and the
    share of images recognised: given some class with a probability above 0.95.

    frechet: {floor: of as many training images, reconstructions: of the test images, through the posterior's mean,
    and for each of `model.priors` of `count` samples}; a distance of few images comes out larger than of many, so
    that all but the reconstructions are of the same number, or of all training images if those are fewer.
    recognised: {test, reconstructions, and each prior}. of_class: {class: the share taken for it of those drawn of it
    alone}, of `count` in all, where a prior has the data's classes. classifier: {accuracy on the test images, version
    of its recipe}. `samples` is the number drawn, `seed` theirs. on_progress(what, done, total) is called now and then.
    Raises InputError for a count below 2, and for data that no classifier can be trained on.
    """
    if not 2 <= count <= 1_000_000:
        raise InputError(f"The number of samples must be from 2 to 1,000,000, not {count}.")
    report = on_progress or (lambda what, done, total: None)
    classifier = classifier_for(train, test, lambda done, total: report("classifier", done, total))
    with torch.inference_mode():
        target, recognised = _judged(classifier, [test.images])
        reference = Moments(target)
        distances, shares = {}, {"test": recognised}

        def compare(name: str, batches, total: int) -> None:
            features, share = _judged(classifier, batches, lambda done: report(name, done, total))
            distances[name] = frechet(Moments(features), reference)
            if name != "floor":
                shares[name] = share

        order = torch.randperm(len(train), generator=make_generator(seed))[:count]
        compare("floor", [train.images[order]], len(order))
        compare("reconstructions", _reconstructed(model, test), len(test))
        for name in model.priors:
            compare(name, _drawn(model, name, count, seed), count)
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
        "recognised": shares,
        "of_class": of_class,
        "classifier": {"accuracy": classifier.accuracy, "version": RECIPE["version"]},
    }


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


def _reconstructed(model: AutoEncoder, data: ImageSet, batch_size: int = 256):
    for pixels in data.images.split(batch_size):
        posterior = model.encode(images.to_float(pixels).to(model.device))
        yield _pixels(model, posterior.mode(), pixels.shape[-2:])


def _drawn(model: AutoEncoder, name: str, count: int, seed: int, label: str | None = None):
    for z in sample_latents(model, count, seed, prior=name, batch_size=256, label=label):
        yield _pixels(model, z, None)


def _pixels(model: AutoEncoder, z: Tensor, size) -> Tensor:
    """Decoded and rounded to 8 bits, as images are when they are looked at, and as the data are."""
    return images.to_uint8(decode(model, z, size)).cpu()
