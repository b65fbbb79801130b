"""What one visitor may take of a public server, and that nothing a stranger sends makes its memory grow.

Every request goes to this machine; a visitor is told by the address that a proxy on it says they have."""

import contextlib
import json
import socket
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from doors import door
from gradio.context import LocalContext
from gradio.utils import get_upload_folder
from tiny_runs import tiny
from waiting import until

from vae.errors import InputError
from vae.ui.serving import request_shares, shares
from vae.ui.serving.access import Audience, Visitor
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.lean_state import Sweeper
from vae.ui.serving.model_loader import ModelLoader
from vae.ui.serving.models import ModelServer
from vae.ui.serving.shares import COOL_DOWN, HOUR, RUNS, TRAINING, Shares, soon
from vae.ui.settings import Settings
from vae.ui.training.training_job import TrainingJob

A, B = {"X-Forwarded-For": "192.0.2.7"}, {"X-Forwarded-For": "192.0.2.8"}
VISITOR, OTHER = Visitor(frozenset({"a"}), address="192.0.2.7"), Visitor(frozenset({"b"}), address="192.0.2.8")


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def counted(**facts) -> tuple[Shares, Clock]:
    clock = Clock()
    return Shares(Audience(Settings(None, Path("runs"), True, None, public=True, **facts)), clock), clock


def test_another_training_waits_until_others_could_begin_one():
    owner, clock = counted()
    assert owner.check_training(VISITOR, 600.0) == 600.0
    owner.trained(VISITOR, 100.0)
    for same in (
        VISITOR,
        Visitor(frozenset({"new token"}), address=VISITOR.address),
        Visitor(VISITOR.keys, address="x"),
    ):
        with pytest.raises(InputError, match="in 60 seconds"):
            owner.check_training(same, 600.0)
    assert owner.check_training(OTHER, 600.0) == 600.0
    clock.now += COOL_DOWN + 1
    assert owner.check_training(VISITOR, 600.0) == 600.0


def test_an_hour_holds_so_many_minutes_of_training():
    owner, clock = counted()
    owner.trained(VISITOR, TRAINING - 300)
    clock.now += 600
    assert owner.check_training(VISITOR, 600.0) == 300.0  # it ends when the rest is used up
    owner.trained(VISITOR, 290.0)
    clock.now += 600
    with pytest.raises(InputError, match="in 40 minutes"):
        owner.check_training(VISITOR, 600.0)
    assert owner.check_training(OTHER, 600.0) == 600.0
    clock.now += HOUR
    assert owner.check_training(VISITOR, 600.0) == 600.0


def test_the_host_has_no_share_to_keep_to():
    owner, _ = counted()
    host = Visitor(frozenset({"h"}), host=True)
    owner.trained(host, 10 * HOUR)
    assert owner.check_training(host, None) is None and owner.check_training(host, 60.0) == 60.0
    owner.uploaded(None, 10**12)
    owner.check_upload(None, 10**12)


def test_several_visitors_behind_one_address():
    owner, _ = counted(visitors_per_address=3)
    owner.trained(VISITOR, TRAINING)
    pupil = Visitor(frozenset({"c"}), address=VISITOR.address)
    assert owner.check_training(pupil, 600.0) == 600.0
    with pytest.raises(InputError):
        owner.check_training(VISITOR, 600.0)
    owner.trained(pupil, 2 * TRAINING)
    with pytest.raises(InputError, match="minutes of training in the last hour"):
        owner.check_training(Visitor(frozenset({"d"}), address=VISITOR.address), 600.0)


def test_behind_a_proxy_that_says_nothing_sessions_are_told_apart_but_for_trainings():
    owner, _ = counted()
    assert owner.keys("unknown", ["s"]) == {"address unknown": shares.CROWD, "one s": 1}
    assert owner.keys("unknown") == {"address unknown": shares.CROWD, "one without": 1}
    owner.uploaded("unknown", shares.UPLOADS)
    owner.check_upload("unknown", shares.UPLOADS)
    owner.trained(Visitor(frozenset({"a"}), address="unknown"), 1.0)
    with pytest.raises(InputError, match="in 60 seconds"):
        owner.check_training(Visitor(frozenset({"b"}), address="unknown"), 600.0)


def test_so_many_runs_are_left_behind():
    owner, _ = counted()
    for folder in range(RUNS):
        owner.check_runs(VISITOR, set(range(RUNS)))
        owner.began(VISITOR, folder)
    with pytest.raises(InputError, match="as soon as you have deleted one"):
        owner.check_runs(VISITOR, set(range(RUNS + 5)))
    owner.check_runs(OTHER, set(range(RUNS)))
    owner.gone(3)
    owner.check_runs(VISITOR, set(range(RUNS)))  # another has its number now


def test_uploads_an_hour_of_one_and_of_all(monkeypatch):
    monkeypatch.setattr(shares, "UPLOADS_OF_ALL", 1.5 * shares.UPLOADS)
    owner, clock = counted()
    owner.uploaded("192.0.2.7", shares.UPLOADS - 1000)
    owner.check_upload("192.0.2.7", 1000)
    with pytest.raises(InputError, match="you can go on in 60 minutes"):
        owner.check_upload("192.0.2.7", 1001)
    with pytest.raises(InputError, match="no room for more uploads right now; you can upload in 60 minutes"):
        owner.check_upload("192.0.2.8", shares.UPLOADS - 1)
    clock.now += HOUR
    owner.check_upload("192.0.2.7", shares.UPLOADS)


def test_what_is_known_of_visitors_is_bounded(monkeypatch):
    monkeypatch.setattr(shares, "KNOWN", 50)
    owner, _ = counted()
    for i in range(80):
        owner.trained(Visitor(address=f"v{i}"), 1.0)
        owner.uploaded(f"v{i}", 1)
    assert max(len(kept) for kept in (owner._rests, owner._training._windows, owner._uploads._windows)) <= shares.KNOWN


def test_when_is_said_in_words():
    assert [soon(s) for s in (0, 1.2, 90, 200, 3599)] == [
        "in 1 second", "in 2 seconds", "in 90 seconds", "in 4 minutes", "in 60 minutes"
    ]  # fmt: skip


def test_continuing_starts_no_clock_again(tmp_path):
    audience = Audience(Settings(None, tmp_path, True, None, public=True))
    job = TrainingJob(tmp_path, audience=audience, shares=Shares(audience))
    run = job.start(tiny(epochs=2000), VISITOR)
    with pytest.raises(InputError, match="its end, in 30 minutes at the latest, or stop it"):
        job.start(tiny(), OTHER)
    job.stop(run, VISITOR)
    job._thread.join(30)
    with pytest.raises(InputError, match=r"start or continue a run in \d+ seconds"):
        job.resume(run, 3000, VISITOR)
    with pytest.raises(InputError, match="start or continue a run in"):
        job.start(tiny(), VISITOR)
    job.resume(run, 3000, Visitor(VISITOR.keys, host=True))
    job.stop(run, VISITOR)
    job._thread.join(30)


def test_names_that_cannot_be_opened_leave_nothing(tmp_path, monkeypatch):
    def nothing(source, **options):
        raise InputError("There is no such model.")

    monkeypatch.setattr("vae.ui.serving.loaded_models.load", nothing)
    server = ModelServer(Catalog(tmp_path))
    for i in range(50):
        with pytest.raises(InputError, match="no such model"):
            server.sample(f"org/name-{i}", 1, 0, 1.0, "normal")
    assert len(server.backend._locks) <= 1 and len(server.catalog._facts) == 0


def test_one_visitor_opens_few_models_at_a_time(tmp_path, monkeypatch):
    go, audience = threading.Event(), Audience(Settings(None, tmp_path, True, None, public=True))
    server = ModelServer(Catalog(tmp_path, audience=audience))
    monkeypatch.setattr(server, "open", lambda name, progress: go.wait(60))
    loader = ModelLoader(server, server.catalog)
    monkeypatch.setattr(audience, "address", lambda request: "192.0.2.7")
    first = [loader.start(f"org/name-{i}") for i in range(2)]
    with pytest.raises(InputError, match="you can open another when one is there"):
        loader.start("org/name-2")
    assert loader.start("org/name-1") is first[1]
    monkeypatch.setattr(audience, "address", lambda request: "192.0.2.8")
    loader.start("org/name-2")
    go.set()
    until(lambda: not loader._running and not loader._asked)


# -- at a running server ---------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    place = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(place / "uploads"))
        demo, asked = door(place, "0.0.0.0")
        yield demo, asked
        demo.close(verbose=False)


@pytest.fixture
def slow(monkeypatch):
    """Sampling with seed 666 ends when this event is set."""
    go, sample = threading.Event(), ModelServer.sample
    monkeypatch.setattr(
        ModelServer,
        "sample",
        lambda self, name, n, seed, *rest, **named: (
            (seed != 666 or go.wait(120)) and sample(self, name, n, seed, *rest, **named)
        ),
    )
    yield go
    go.set()


def begin(asked, seed: int, who: dict) -> tuple[int, dict]:
    status, text, _ = asked.ask(
        "POST", "/gradio_api/call/sample", {"data": ["mnist-vae", 1, seed, 1.0, "normal", None]}, who
    )
    return status, json.loads(text)


def ended(asked, call: dict, who: dict) -> str:
    return asked.ask("GET", f"/gradio_api/call/sample/{call['event_id']}", headers=who)[1]


def test_one_visitors_calls_leave_room_for_others(served, slow):
    _, asked = served
    answers = [begin(asked, 666, A) for _ in range(132)]
    refused = [said for status, said in answers if status != 200]
    assert len(refused) == 132 - shares.CALLS
    assert all("you can send another as soon as one of them is answered" in said["detail"] for said in refused)
    assert "complete" in asked.call("sample", "mnist-vae", 1, 7, 1.0, "normal", None, **B)  # before any of those
    host = [begin(asked, 1, {}) for _ in range(2 * shares.CALLS)]
    assert all(status == 200 for status, _ in host)
    slow.set()
    assert all("complete" in ended(asked, call, A) for status, call in answers if status == 200)
    assert all("complete" in ended(asked, call, {}) for _, call in host)
    assert begin(asked, 1, A)[0] == 200


def test_who_leaves_is_noticed_and_their_waiting_calls_end(served, slow):
    demo, asked = served
    calls = [begin(asked, 666, {"X-Forwarded-For": "198.51.100.77"})[1]["event_id"] for _ in range(4)]
    waiting = calls[-1]  # two of them are computed
    with socket.create_connection(("127.0.0.1", asked.address), timeout=30) as connection:
        path = f"/gradio_api/call/sample/{waiting}"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 198.51.100.77\r\n\r\n".encode())
        assert b"200 OK" in connection.recv(1000)
    patience = time.monotonic() + 6  # Gradio looks every ten seconds if nothing tells it
    while waiting in demo._queue.event_ids_to_events and time.monotonic() < patience:
        time.sleep(0.05)
    assert waiting not in demo._queue.event_ids_to_events


def test_answers_that_nobody_fetches_are_forgotten(served, monkeypatch):
    demo, asked = served
    monkeypatch.setattr("vae.ui.serving.lean_state.UNFETCHED", 0.0)
    sweeper = Sweeper(demo._queue, Path(get_upload_folder()), 3600)
    calls = [begin(asked, 1, {"X-Forwarded-For": f"198.51.100.{i}"})[1]["event_id"] for i in range(20)]
    until(lambda: sweeper.sweep() or not any(call in demo._queue.pending_event_ids_session for call in calls))
    assert not any(call in demo._queue.pending_messages_per_session for call in calls)
    demo._queue.forget()
    assert not any(call in demo._queue._taken for call in calls)


def test_sessions_are_light_and_bounded(served):
    demo, asked = served
    sessions = demo.app.state_holder
    asked.call("sample", "mnist-vae", 1, 7, 1.0, "normal", None, **A)
    assert all(not session.config_values for session in sessions.session_data.values())
    part = next(c for c in asked.config["components"] if "watch_run" in c["props"].get("server_fns", ()))
    known = len(sessions.session_data)
    body = {"session_hash": "x" * 1000, "component_id": part["id"], "fn_name": "watch_run", "data": {}}
    assert asked.ask("POST", "/gradio_api/component_server", body, A)[0] == 200
    assert len(sessions.session_data) == known


def test_made_up_page_names_slow_nobody_else(served):
    _, asked = served
    for i in range(60):
        news = json.loads(asked.script("watch_run", {"page": f"fake {i}" * 20}, **A))
    assert news["wait"] <= 4000
    assert json.loads(asked.script("watch_run", {"page": "real"}, **B))["wait"] == 2000


def tool(asked, name: str, arguments: dict, who: dict) -> str:
    """What an agent is answered."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    return asked.ask("POST", "/gradio_api/mcp/", request, {"Accept": "application/json, text/event-stream", **who})[1]


def test_an_agents_calls_count_as_those_of_who_sent_it(served, monkeypatch):
    pytest.importorskip("mcp")
    demo, asked = served
    seen, sample = [], ModelServer.sample

    def noted(*arguments, **options):
        seen.append(demo.audience.address(LocalContext.request.get(None)))
        return sample(*arguments, **options)

    monkeypatch.setattr(ModelServer, "sample", noted)
    assert "error" not in tool(asked, "sample", {"model": "mnist-vae", "n": 1, "seed": 3}, A)
    through = {"X-Forwarded-For": "198.51.100.9, 192.0.2.7"}  # the first is what the visitor made up
    assert "error" not in tool(asked, "sample", {"model": "mnist-vae", "n": 1, "seed": 3}, through)
    assert seen == ["192.0.2.7", "192.0.2.7"]
    assert "Unknown tool" in tool(asked, "train_start", {}, A)


BOUNDARY = "parts"
HEAD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'.encode()


def upload(asked, body: bytes, who: dict, length: int | None = None, wait: bool = True) -> str:
    """The answer to an upload, or to as much of it as there is."""
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    headers = {"Host": "127.0.0.1", "Content-Type": kind, "Connection": "close", **who}
    lines = [f"{name}: {value}" for name, value in headers.items()] + [f"Content-Length: {length or len(body)}"]
    with socket.create_connection(("127.0.0.1", asked.address), timeout=30) as connection:
        connection.sendall("\r\n".join(["POST /gradio_api/upload HTTP/1.1", *lines, "", ""]).encode() + body)
        if not wait:
            return ""
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # a refused body may not have been read to its end
            while more := connection.recv(4096):  # head and body may come one after the other
                answer += more
        return answer.decode()


def whole(data: bytes) -> bytes:
    return HEAD + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def leftovers() -> set[Path]:
    return set(Path(get_upload_folder()).glob("tmp*"))


def test_uploads_beyond_the_hours_share_are_refused(served, monkeypatch):
    _, asked = served
    monkeypatch.setattr(shares, "UPLOADS", 200_000)
    me = {"X-Forwarded-For": "203.0.113.5"}
    assert " 200 " in upload(asked, whole(b"0" * 1000), me)  # counts as a larger one
    assert " 200 " in upload(asked, whole(b"1" * 1000), me)
    answer = upload(asked, whole(b"2" * 100_000), me)
    assert " 429 " in answer and "you can go on in 60 minutes" in answer
    assert " 200 " in upload(asked, whole(b"2" * 100_000), {"X-Forwarded-For": "203.0.113.6"})
    assert " 200 " in upload(asked, whole(b"3" * 300_000), {})


def test_uploads_that_break_off_or_stall_leave_nothing(served, monkeypatch):
    _, asked = served
    before = leftovers()
    upload(asked, HEAD + b"0" * 500_000, A, length=10**6, wait=False)
    monkeypatch.setattr(request_shares, "STALLED", 0.2)
    assert "Nothing came for" in upload(asked, HEAD + b"0" * 500_000, B, length=10**6)
    until(lambda: not leftovers() - before)


def test_requests_are_refused_before_they_fill_the_memory(served, monkeypatch):
    _, asked = served
    monkeypatch.setattr(request_shares, "LARGEST", 100_000)
    status, text, _ = asked.ask("POST", "/gradio_api/call/sample", {"data": ["x" * 200_000]}, A)
    assert status == 413 and "are accepted in one call" in text
    part = next(c for c in asked.config["components"] if "watch_run" in c["props"].get("server_fns", ()))
    multipart = {"Content-Type": "multipart/form-data; boundary=x", **A}
    assert asked.ask("POST", "/gradio_api/component_server", {"component_id": part["id"]}, multipart)[0] == 415
    assert asked.ask("GET", "/gradio_api/upload_progress?upload_id=abc", headers=A)[0] == 404
    monkeypatch.setattr(shares, "REQUESTS", 0)
    status, text, _ = asked.ask("GET", "/config", headers=A)
    assert status == 429 and "as many as one visitor may" in text
    assert asked.ask("GET", "/config", headers={})[0] == 200


def test_old_files_that_gradio_does_not_know_are_removed(tmp_path):
    (tmp_path / "tmpabc").write_text("half")
    (tmp_path / "tmpdef").mkdir()
    (tmp_path / "0123").mkdir()
    Sweeper(None, tmp_path, age=3600.0).sweep_files()
    assert len(list(tmp_path.iterdir())) == 3
    Sweeper(None, tmp_path, age=-1.0).sweep_files()
    assert [path.name for path in tmp_path.iterdir()] == ["0123"]
