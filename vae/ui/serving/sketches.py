"""Drawings while they are being drawn: what the model makes of one at once, and where it lies on the model's map."""

import threading

from torch import Tensor

from vae import images
from vae.errors import InputError
from vae.latents.projections import Projection
from vae.latents.statistics import Statistics
from vae.ui.components import error_text, raising_gradio_errors
from vae.ui.latent_points import packed
from vae.ui.serving.latent_maps import LatentMaps
from vae.ui.serving.models import ModelServer
from vae.ui.uploads import read_picture

SIDE = 512  # pixels; a larger drawing is made smaller
LONGEST = 1_000_000  # characters of a drawing in a request
LIVE = 20_000_000  # parameters of a model that redraws while one draws, at most
POINTS = 1200  # of the data set's images that a small map shows
WAITING = 12  # drawings under way at a time, of all visitors


class Sketches:
    """What the drawing pad's script calls: answered at once, without Gradio's queue, from any thread; nothing that is
    sent is trusted."""

    def __init__(self, server: ModelServer, latent_maps: LatentMaps):
        self.server, self.latent_maps = server, latent_maps
        self.functions = [raising_gradio_errors(function) for function in (self.sketch_look, self.sketch_map)]
        self._room = threading.Semaphore(WAITING)

    def sketch_look(self, asked: object) -> dict:
        """A drawing through the model. asked: {model, uri}, the drawing as a data URI.

        {original, image: data URIs of what the model saw and of what it made of it, width, height, psnr, ssim,
        seconds, place: [x, y] on the map of `sketch_map`, nearest: the class of the data set's image whose latent is
        nearest, both None without a map}, or {error}.
        """
        if not self._room.acquire(blocking=False):
            return {"error": "The server is busy drawing for others; go on in a moment."}
        try:
            return self._look(asked)
        except Exception as error:
            return {"error": error_text(error, "sketch_look")}
        finally:
            self._room.release()

    def _look(self, asked: object) -> dict:
        name, uri = _model(asked), asked.get("uri")
        if not self._live(name):
            raise InputError(f"A model of over {LIVE / 1e6:.0f} million parameters does not redraw while you draw.")
        if not isinstance(uri, str) or len(uri) > LONGEST:
            raise InputError(f"A drawing is a PNG in a data URI of up to {LONGEST:,} characters.")
        found = self.server.sketch(name, read_picture({"kind": "inline", "uri": uri}, SIDE), SIDE)
        return {
            "original": images.data_uri(found.original),
            "image": images.data_uri(found.image),
            "width": found.original.width,
            "height": found.original.height,
            "psnr": round(found.psnr, 3),
            "ssim": round(found.ssim, 5),
            "seconds": round(found.seconds, 4),
            **self._place(name, found.latent),
        }

    def _live(self, name: str) -> bool:
        return self.server.catalog.facts(name)["parameters"] <= LIVE

    def _place(self, name: str, z: Tensor) -> dict:
        known = self._measured(name)
        if known is None or z[0].shape != known.mean.shape:
            return {"place": None, "nearest": None}
        place = _projection(known).project(z)[0].tolist()
        nearest = (known.embeddings.flatten(1) - z.flatten(1)).norm(dim=1).argmin()  # in the space, not on the map
        label = None if known.labels is None else known.classes[int(known.labels[nearest])]
        return {"place": [float(f"{v:.5g}") for v in place], "nearest": label}

    def sketch_map(self, asked: object) -> dict:
        """What a pad needs to know of a model. asked: {model}.

        {live: whether it can be asked for a look, points: the small map of its latent space, float32 in base64, two
        for each of up to POINTS images, labels: their classes or None, classes}, with `points` None for a model that
        was not measured; or {error}.
        """
        try:
            name = _model(asked)
            live, found = self._live(name), self._measured(name)
            if found is None or not live:
                return {"live": live, "points": None, "labels": None, "classes": None}
            step = -(-len(found.embeddings) // POINTS)
            labels = None if found.labels is None else found.labels[::step].tolist()
            return {
                "live": live,
                "points": packed(_projection(found).project(found.embeddings[::step]).numpy()),
                "labels": labels,
                "classes": None if labels is None else found.classes,
            }
        except Exception as error:
            return {"error": error_text(error, "sketch_map")}

    def _measured(self, name: str) -> Statistics | None:
        try:
            return self.latent_maps.find(name)
        except InputError:  # refused statistics: the Latent space tab says why
            return None


def _model(asked: object) -> str:
    if not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
        raise InputError("A model is chosen by its name.")
    return asked["model"]


def _projection(found: Statistics) -> Projection:
    """The map that the Latent space tab opens with."""
    name = next((name for name in ("lda", "pca") if name in found.projections), None)
    return found.plane(*found.most_active()[:2]) if name is None else found.map(name)
