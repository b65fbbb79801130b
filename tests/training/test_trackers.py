"""What a tracker is told, read from the file that TensorBoard opens."""

import io
import struct

import pytest
from own_family import Discs, Plain
from PIL import Image
from tiny_runs import tiny

from vae.training.loop import fit


def events(folder) -> list:
    """The events of all files there, as TensorBoard reads them: each with its length before and checksums around it."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.rglob("*tfevents*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack("<Q", data[at : at + 8])
            found.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += 16 + length
    return found


def test_tensorboard_has_every_term_and_the_previews(tmp_path):
    pytest.importorskip("tensorboardX")

    def objective(x, x_hat, posterior, step):
        return {"loss": (x_hat - x).square().mean(), "edges": (x_hat - x).diff().abs().mean()}

    config = tiny(epochs=2, batch_size=12)
    parts = {"model": Plain(), "train_set": Discs(), "objective": objective}
    run = fit(config, tmp_path / "run", device="cpu", log_with="tensorboard", **parts)
    values = [(event.step, value) for event in events(run.folder) for value in event.summary.value]
    scalars: dict[tuple, list] = {}
    for step, value in values:
        if value.HasField("simple_value"):
            scalars.setdefault((value.tag, step), []).append(pytest.approx(value.simple_value))
    for line in run.metrics():
        assert line["edges"] in scalars["edges", line["step"]]
    assert scalars["val_edges", line["step"]] == [line["val_edges"]]
    shown = {(value.tag, step): value.image for step, value in values if value.HasField("image")}
    kinds = {(preview["kind"], preview["step"]) for preview in run.previews()}
    assert {(tag.split("/")[0], step) for tag, step in shown} == kinds
    preview = run.previews()[-1]
    image = next(
        i for (tag, step), i in shown.items() if tag.split("/")[0] == preview["kind"] and step == preview["step"]
    )
    with Image.open(io.BytesIO(image.encoded_image_string)) as theirs, Image.open(preview["path"]) as ours:
        assert theirs.convert("RGB").tobytes() == ours.convert("RGB").tobytes()
