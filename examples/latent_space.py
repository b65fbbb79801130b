"""What one can do with a model's latents: directions between classes, neighbours, draws of one class, what is unusual.

python examples/latent_space.py [OUTPUT.png]
"""

import sys

import torch

import vae
from vae import images, latents


def main(output: str = "latent-space.png") -> dict:
    model = vae.load("mnist-vae-large", device="cpu")
    data = vae.load_data("digits", "test", size=32, border=2)  # scikit-learn's own digits: no download
    z = vae.encode(model, data).mean  # (N, C, h, w)

    means = latents.class_means(z, data.labels)  # {0: (C, h, w), ...}
    more_like_9 = latents.attribute_vector(to=z[data.labels == 9], away_from=z[data.labels == 4])
    four = z[data.labels == 4][:1]
    path = torch.cat([four + strength * more_like_9 for strength in torch.linspace(0, 1.5, 10)])
    indices, distances = latents.nearest(four, among=z, k=10)  # itself first
    sevens = vae.sample(model, 10, label=7)  # from the prior that was fitted to labelled images

    rows = [
        vae.decode(model, torch.stack([means[label] for label in range(10)])),  # the mean digit of each class
        vae.decode(model, path),  # a four that becomes a nine
        images.to_float(data.batch(indices[0])),  # the images nearest to that four
        sevens,
    ]
    images.grid(images.to_uint8(torch.cat(rows)), columns=10, scale=2).save(output)

    noise = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    unusual = vae.how_unusual(model, noise)  # beside the images that the model was tested on
    same = (data.labels[indices[0]] == 4).float().mean().item()
    return {"output": output, "nearest_are_fours": same, "noise_is": unusual.word, "distance": distances[0, 1].item()}


if __name__ == "__main__":
    print(main(*sys.argv[1:2]))
