"""litdata's shards, on this disk, in an object store and on a web server."""

import io
import json
import socket
import threading
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import tiny, untimed

pytest.importorskip("litdata")

import litdata
from litdata.streaming.writer import BinaryWriter

from vae.data.sets import data_names, load_data, located
from vae.errors import InputError
from vae.models import build
from vae.training import batches
from vae.training.batches import TrainingImages
from vae.training.loop import fit
from vae.training.schedule import plan

COUNT = 19


def jpeg(shade: int, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (12, 9), shade if mode == "L" else (shade,) * 3).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write(folder: Path, items, **options) -> Path:
    folder.mkdir(parents=True)
    writer = BinaryWriter(str(folder), chunk_size=4, **options)
    for i, item in enumerate(items):
        writer[i] = item
    writer.done()
    writer.merge()
    return folder


class Asked(list):
    web, parts = "", True

    def at(self, kind: str) -> str:
        """Where it has the folder of `shards`."""
        return "s3://bucket/shades" if kind == "s3" else f"{self.web}/bucket/shades"


@pytest.fixture
def shards(tmp_path):
    """19 grey images in five chunks, each of its own shade."""
    return write(tmp_path / "bucket" / "shades", ((jpeg(5 * i), i % 3) for i in range(COUNT)))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An object store of Amazon's kind, and so a web server, that has the files in tmp_path; what was asked of it:
    (path, range). Its address as the latter is `web`."""
    asked = Asked()

    class Store(BaseHTTPRequestHandler):
        protocol_version, wbufsize = "HTTP/1.1", 65_536  # each answer in one piece: two would wait for one another

        def do_GET(self):
            path, part = tmp_path / self.path.partition("?")[0].lstrip("/"), self.headers.get("Range")
            asked.append((self.path, part))
            found = path.read_bytes() if path.is_file() else b""
            status = 200 if path.is_file() else 404
            if part and found and asked.parts:
                first, last = (int(end) for end in part.removeprefix("bytes=").split("-"))
                status, whole, found = 206, len(found), found[first : last + 1]
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
            self.send_header("Content-Length", str(len(found)))
            self.send_header("ETag", '"1"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(found)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    asked.web = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", asked.web)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield asked
    server.shutdown()
    server.server_close()


def shades(data) -> list[int]:
    return data.batch(range(len(data)))[:, 0, 4, 4].tolist()


def test_a_folder_has_the_images_that_litdata_has(shards, tmp_path):
    data = load_data(shards, "all", size=8)
    assert shades(data) == [5 * i for i in range(COUNT)] and data.classes == ["0", "1", "2"]
    assert data.labels.tolist() == [i % 3 for i in range(COUNT)]
    theirs = litdata.StreamingDataset(str(shards))
    assert [theirs[i][0] for i in (0, 3, 4, 18)] == [jpeg(5 * i) for i in (0, 3, 4, 18)]
    assert data_names(tmp_path / "bucket")[-1] == "shades"
    items = [{"index": i, "image": litdata.Jpeg(bytes=jpeg(9 * i)), "y": i // 2} for i in range(4)]
    named = load_data(write(tmp_path / "named", items), "all", size=8)
    assert shades(named) == [0, 9, 18, 27] and named.labels.tolist() == [0, 0, 1, 1]
    pixels = [Image.new("RGB", (9, 9), (i, 2 * i, 0)) for i in range(4)]
    pixels = load_data(write(tmp_path / "pil", pixels), "all", size=9, channels=3)
    assert pixels.images[3, :, 0, 0].tolist() == [3, 6, 0] and pixels.labels is None


@pytest.mark.parametrize("kind", ["s3", "web"])
def test_a_store_gives_the_same_and_no_more_than_is_asked_for(shards, store, kind):
    address = store.at(kind)
    data = load_data(address + "/", "all", size=8, limit_bytes=0)
    assert located(address) == address and len(data) == COUNT
    store.clear()
    assert data.batch([18, 3, 7])[:, 0, 4, 4].tolist() == [90, 15, 35] and len(store) == 3
    assert all(part and "chunk" in path for path, part in store)
    assert [file.name for file in Path(data.source.held.name).iterdir() if file.suffix == ".bin"] == []
    held = load_data(address, "all", size=8)
    assert shades(held) == [5 * i for i in range(COUNT)]


@pytest.mark.parametrize(("kind", "processes"), [("s3", 1), ("s3", 2), ("web", 4)])
def test_each_image_once_an_epoch_in_the_order_of_seed_and_epoch(shards, store, monkeypatch, kind, processes):
    monkeypatch.setattr(batches, "load_data", partial(load_data, limit_bytes=0))
    config = tiny(data=store.at(kind), batch_size=8 // processes, test_size=0.125, epochs=2)
    seen = []
    for process in range(processes):
        images = TrainingImages(config, build(config.model), torch.device("cpu"), process=process, processes=processes)
        dealt = plan(config, len(images.train_set), processes)
        parts = [((part + 1) * 127.5).round().int()[:, 0, 4, 4] for part in images.batches(dealt, process, 0)]
        seen.append(torch.stack(parts))
    updates = torch.stack(seen, 2).flatten(1)  # each update's images, as one process would have them
    alone = TrainingImages(config, build(config.model), torch.device("cpu"))
    for epoch in range(2):
        found = updates[epoch * dealt.epoch_steps : (epoch + 1) * dealt.epoch_steps].flatten().tolist()
        assert len(set(found)) == len(found) == 16
        assert found == alone.train_set.batch(alone.order(epoch)[:16])[:, 0, 4, 4].tolist()


@pytest.mark.parametrize("kind", ["s3", "web"])
def test_stopped_in_mid_epoch_and_resumed_equals_uninterrupted(shards, store, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(batches, "load_data", partial(load_data, limit_bytes=0))
    config = tiny(data=store.at(kind), batch_size=7, epochs=2)
    whole = fit(config, tmp_path / "whole", device="cpu")

    def stop(event):
        if event.name == "step" and event.step == 3:  # in the middle of the second epoch
            event.stop()

    run = fit(config, tmp_path / "run", device="cpu", callbacks=stop)
    assert run.state()["state"] == "stopped" and run.state()["step"] == 3
    assert untimed(fit(config, tmp_path / "run", resume=True, device="cpu")) == untimed(whole)
    assert untimed(fit(replace(config, data=str(shards)), tmp_path / "disk", device="cpu")) == untimed(whole)


@pytest.mark.parametrize("kind", ["s3", "web"])
def test_what_the_store_does_not_give_is_said(shards, store, kind):
    with pytest.raises(InputError, match=r"index .* at (s3|http)://.*nothing cannot be had: .*404"):
        load_data(store.at(kind).replace("shades", "nothing"))
    data = load_data(store.at(kind), "all", size=8, limit_bytes=0)
    (shards / "chunk-0-1.bin").unlink()
    with pytest.raises(InputError, match=r"chunk-0-1\.bin of shades cannot be read"):
        data.batch([6])


def test_of_a_web_server_that_cannot_be_read_one_sentence_tells(shards, store, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(InputError, match=r"cannot be had: 127\.0\.0\.1 does not answer\.$"):
            load_data(f"http://127.0.0.1:{unused.getsockname()[1]}/shades")
    store.parts = False
    with pytest.raises(InputError, match=r"cannot be read: the server gives whole files only, no parts"):
        load_data(store.at("web"))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda index: index["config"].update(data_format=["pickle", "int"]), "no field of images"),
        (lambda index: index["config"].update(compression="zstd"), r"not supported \(compression\)"),
        (lambda index: index["chunks"][0].update(filename="../chunk-0-0.bin"), "damaged, or none of litdata's"),
        (lambda index: index["chunks"][0].update(chunk_size=5), "damaged"),
        (
            lambda index: index["chunks"][0].update(chunk_size=2**29, chunk_bytes=2**31 + 8),
            "cannot be read|cut off|memory",
        ),
        (lambda index: index.update(chunks=[]), "damaged, or none of litdata's"),
    ],
)
def test_an_index_that_claims_what_cannot_be_is_refused(shards, store, change, wanted):
    index = json.loads((shards / "index.json").read_text())
    change(index)
    (shards / "index.json").write_text(json.dumps(index))
    for place in ("s3://bucket/shades", shards):
        with pytest.raises(InputError, match=wanted):
            load_data(place, size=8)


def test_a_damaged_item_is_left_out(shards):
    chunk = shards / "chunk-0-2.bin"
    content = bytearray(chunk.read_bytes())
    start = int(np.frombuffer(bytes(content[4:8]), "<u4")[0])
    content[start : start + 4] = b"\xff\xff\xff\x7f"
    chunk.write_bytes(content)
    with pytest.raises(InputError, match="Item 8 of shades is damaged"):
        load_data(shards, "all", size=8)  # its label is not to be had
    (shards / "index.json").write_text((shards / "index.json").read_text().replace('"int"', '"float"'))
    data = load_data(shards, "all", size=8)
    assert len(data) == COUNT - 1 and data.skipped == 1


def test_tables_are_refused(tmp_path):
    items = ({"image": jpeg(i), "label": i} for i in range(4))
    with pytest.raises(InputError, match=r"Arrow's tables.* litdata\.Jpeg"):
        load_data(write(tmp_path / "tables", items))
