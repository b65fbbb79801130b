"""Only who started a run, or the host, can change it; who that is, and what each may do."""

from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")

from gradio.context import LocalContext
from tiny_runs import tiny

import vae
from vae.errors import InputError
from vae.ui.serving import access
from vae.ui.serving.access import Visitor, is_host, visitor
from vae.ui.serving.catalog import Catalog
from vae.ui.tabs.train import changer
from vae.ui.training.training_job import TrainingJob

HERE = {"host": "127.0.0.1:7860"}


def request(address="127.0.0.1", session=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in {**HERE, **headers}.items()}
    return SimpleNamespace(client=SimpleNamespace(host=address), headers=headers, session_hash=session)


@pytest.fixture
def asking():
    """Sets whose request is being answered."""
    tokens = []
    yield lambda *arguments, **named: tokens.append(LocalContext.request.set(request(*arguments, **named)))
    for token in reversed(tokens):
        LocalContext.request.reset(token)


@pytest.mark.parametrize(
    ("asked", "host"),
    [
        (request(), True),
        (request("::1", host="[::1]:7860"), True),
        (request(host="localhost:7860", origin="http://localhost:7860"), True),
        (request("192.0.2.7"), False),
        (request(host="studio.example.org"), False),  # a tunnel on this machine
        (request(x_forwarded_for="192.0.2.7"), False),  # a proxy on this machine
        (request(x_gradio_user="api"), True),
        (request(x_gradio_user="mcp"), False),
        (request(forwarded="for=192.0.2.7"), False),
        (request(origin="https://studio.example.org"), False),  # a proxy that hides both, to a browser
        (request(host="localhost.example.org"), False),
        (request(host="[broken"), False),
        (None, False),
        (SimpleNamespace(client=None, headers={}), False),
    ],
)
def test_the_host_sits_at_the_machine(asked, host):
    assert is_host(asked) is host


def test_a_visitor_is_known_by_token_or_session(asking):
    asking("192.0.2.7", session="abcdefgh12")
    with_both = visitor("t" * 32, public=False)
    asking("192.0.2.8", session="another-session")
    assert not visitor("t" * 32, public=False).keys.isdisjoint(with_both.keys)
    assert visitor(None, public=False).keys.isdisjoint(with_both.keys)
    asking("192.0.2.9", session="abcdefgh12")
    assert not visitor(None, public=False).keys.isdisjoint(with_both.keys)
    asking("192.0.2.9")
    assert all(visitor(bad, public=False).keys == frozenset() for bad in ("short", 7, "x" * 1000))
    assert visitor("abcdefgh12session", public=False).keys.isdisjoint(with_both.keys)


def test_a_public_server_has_no_host(asking):
    asking()
    assert visitor(None, public=False).host and not visitor(None, public=True).host


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    vae.fit(tiny(), run=runs / "tiny-001", device="cpu")
    return runs


def test_strangers_change_nothing_and_owners_all(trained, asking):
    training_job, catalog = TrainingJob(trained), Catalog(trained)
    change = changer(catalog, training_job)
    run, mine = catalog.run("tiny-001"), {"run": "tiny-001", "token": "m" * 32}
    asking("192.0.2.7")
    visitor(mine["token"], public=False).claim(run)
    assert "m" * 8 not in (run.folder / access.FILE).read_text()  # kept as a hash alone

    for what in ({"do": "stop"}, {"do": "continue", "epochs": 9}, {"do": "rename", "name": "x"}, {"do": "delete"}):
        for token in (None, "z" * 32):
            assert "Only whoever started" in change({"run": "tiny-001", "token": token, **what})["error"]
    assert change({**mine, "do": "paint"})["error"].startswith("A run can be")
    assert "no run" in change({**mine, "run": "../tiny-001", "do": "delete"})["error"]
    assert "no run" in change(None)["error"]

    assert "give a larger number" in change({**mine, "do": "continue", "epochs": 3})["error"]
    assert "epochs must be a whole number" in change({**mine, "do": "continue", "epochs": "many"})["error"]
    assert "name" in change({**mine, "do": "rename", "name": "../up"})["error"]
    assert "already a model" in change({**mine, "do": "rename", "name": "mnist-ae"})["error"]

    assert change({**mine, "do": "continue", "epochs": 4}) == {"run": "tiny-001"}
    training_job._thread.join(30)
    assert run.state()["state"] == "finished" and run.metrics()[-1]["epoch"] == 4
    assert change({**mine, "do": "rename", "name": "better"}) == {"run": "better"}
    assert visitor(mine["token"], public=False).may_change(catalog.run("better"))
    assert change({**mine, "run": "better", "do": "delete"}) == {"run": None}
    assert not list(trained.glob("[!.]*"))


def test_a_folder_that_takes_no_files_has_no_owner_but_the_host(tmp_path):
    Visitor(frozenset({"a"})).claim(vae.Run(tmp_path / "none"))
    assert access.owners(vae.Run(tmp_path / "none")) == frozenset()
    with pytest.raises(InputError):
        Visitor(frozenset({"a"})).check(vae.Run(tmp_path / "none"), "stop")
    Visitor(host=True).check(vae.Run(tmp_path / "none"), "stop")
