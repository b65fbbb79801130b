"""Only who started a run, or the host, can change it; who that is, and what each may do."""

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")

from gradio.context import LocalContext
from tiny_runs import tiny

import vae
from vae.errors import InputError
from vae.ui.serving import access
from vae.ui.serving.access import Audience, Visitor, is_host
from vae.ui.serving.catalog import Catalog
from vae.ui.settings import Settings
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
        *((request(**{name: "192.0.2.7"}), False) for name in ("via", "cf_connecting_ip", "x_forwarded_proto")),
        (request(X_Forwarded_Host="studio.example.org"), False),
        (request(origin="http://127.0.0.1:7860"), True),
        (request(origin="http://127.0.0.1:3000"), False),  # a page of another server on this machine
        (request(origin="http://localhost"), False),
        (request(origin="null"), False),
        (request(host="127.0.0.1", origin="http://127.0.0.1"), True),
        (request(host="localhost.example.org"), False),
        (request(host="[broken"), False),
        (None, False),
        (SimpleNamespace(client=None, headers={}), False),
    ],
)
def test_the_host_sits_at_the_machine(asked, host):
    assert is_host(asked) is host


def test_a_visitor_is_known_by_token_or_session(asking):
    audience = Audience()
    asking("192.0.2.7", session="abcdefgh12")
    with_both = audience.visitor("t" * 32)
    asking("192.0.2.8", session="another-session")
    assert not audience.visitor("t" * 32).keys.isdisjoint(with_both.keys)
    assert audience.visitor(None).keys.isdisjoint(with_both.keys)
    asking("192.0.2.9", session="abcdefgh12")
    assert not audience.visitor(None).keys.isdisjoint(with_both.keys)
    asking("192.0.2.9")
    assert all(audience.visitor(bad).keys == frozenset() for bad in ("short", 7, "x" * 1000))
    assert audience.visitor("abcdefgh12session").keys.isdisjoint(with_both.keys)


def run_as(**facts) -> Audience:
    return Audience(Settings(None, Path("runs"), True, None, **facts))


def test_where_there_is_no_host_nobody_is_it(asking):
    asking()
    assert all(run_as(**facts).visitor(None).host for facts in ({}, {"public": True}, {"server_name": "0.0.0.0"}))
    assert not run_as(host=False).visitor(None).host and not run_as(host=False).may_open_paths()


@pytest.mark.parametrize(
    ("facts", "public"),
    [
        ({}, False),
        ({"server_name": "127.0.0.1"}, False),
        ({"server_name": "::1"}, False),
        ({"server_name": "localhost"}, False),
        ({"server_name": "0.0.0.0"}, True),
        ({"server_name": "192.0.2.7"}, True),
        ({"server_name": "0.0.0.0", "public": False}, False),
        ({"share": True}, True),
        ({"host": False}, True),
        ({"public": True}, True),
    ],
)
def test_strangers_are_expected_wherever_the_server_can_be_reached_from(facts, public):
    assert run_as(**facts).public is public


def test_launching_settles_it():
    audience = run_as()
    audience.settle("0.0.0.0")
    assert audience.public
    audience.settle(None, share=True)
    assert audience.public


def test_paths_are_the_hosts(asking):
    private, open_to_all, trusted = run_as(), run_as(server_name="0.0.0.0"), run_as(server_name="0.0.0.0", public=False)
    assert private.may_open_paths() and not open_to_all.may_open_paths()  # nobody's request: the library itself
    asking()
    assert private.may_open_paths() and open_to_all.may_open_paths()
    for stranger in ({"address": "192.0.2.7"}, {"x_forwarded_for": "192.0.2.7"}, {"host": "studio.example.org"}):
        asking(**stranger)
        assert not private.may_open_paths() and not open_to_all.may_open_paths() and trusted.may_open_paths()
    asking(x_gradio_user="mcp")
    assert private.may_open_paths() and not open_to_all.may_open_paths()


@pytest.mark.parametrize(
    ("facts", "asked", "address"),
    [
        ({}, {}, None),
        ({"server_name": "0.0.0.0"}, {"address": "192.0.2.7", "host": "a.example"}, "192.0.2.7"),
        ({"server_name": "0.0.0.0"}, {"address": "192.0.2.7", "x_forwarded_for": "192.0.2.99"}, "192.0.2.7"),
        ({"server_name": "0.0.0.0", "public": False}, {"address": "192.0.2.7"}, None),
        ({"host": False}, {}, "unknown"),
        ({"host": False}, {"x_gradio_user": "mcp"}, "unknown"),
        ({}, {"host": "studio.example.org"}, "unknown"),  # a proxy that says nothing of its visitors
        ({"public": True}, {"address": "2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"),
        ({"public": True}, {"address": "::ffff:192.0.2.7"}, "192.0.2.7"),
        ({"public": True}, {"address": "what a proxy made up" * 9, "x_forwarded_for": "x"}, "unknown"),
        ({"space": True}, {"address": "10.1.2.3", "x_forwarded_for": "1.2.3.4, 8.8.8.8, 10.0.0.1"}, "8.8.8.8"),
        ({"space": True}, {"address": "10.1.2.3"}, "10.1.2.3"),
    ],
)
def test_by_which_address_a_visitor_is_known(facts, asked, address):
    assert run_as(**facts).address(request(**asked)) == address


def test_names_of_the_server():
    private = run_as(names=("studio.example.org",))
    for name in (
        "127.0.0.1:7860",
        "localhost:7860",
        "[::1]:7860",
        "10.1.2.3",
        "studio.example.org",
        "a.studio.example.org",
    ):
        assert private.knows(name)
    for name in ("evil.example", "localhost.evil.example", "xstudio.example.org", "[broken", "", None):
        assert not private.knows(name)
    beyond = run_as(server_name="0.0.0.0")
    assert beyond.knows("any.example.org") and not run_as(server_name="0.0.0.0", public=False).knows("evil.example")
    assert not run_as(server_name="0.0.0.0", names=("studio.example.org",)).knows("evil.example")
    shared = run_as(share=True)
    shared.settle(None, share=True, share_url=lambda: "https://0123.gradio.live")
    assert shared.knows("0123.gradio.live") and not shared.knows("4567.gradio.live")
    assert run_as(space=True).knows("anything")


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
    Audience().visitor(mine["token"]).claim(run)
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
    assert Audience().visitor(mine["token"]).may_change(catalog.run("better"))
    assert change({**mine, "run": "better", "do": "delete"}) == {"run": None}
    assert not list(trained.glob("[!.]*"))


def test_a_folder_that_takes_no_files_has_no_owner_but_the_host(tmp_path):
    Visitor(frozenset({"a"})).claim(vae.Run(tmp_path / "none"))
    assert access.owners(vae.Run(tmp_path / "none")) == frozenset()
    with pytest.raises(InputError):
        Visitor(frozenset({"a"})).check(vae.Run(tmp_path / "none"), "stop")
    Visitor(host=True).check(vae.Run(tmp_path / "none"), "stop")


def test_strangers_train_for_a_while_only_and_until_the_runs_are_full(trained):
    assert TrainingJob(trained).max_minutes is None and TrainingJob(trained, max_minutes=5).max_minutes == 5
    public = TrainingJob(trained, audience=run_as(public=True))
    assert public.max_minutes and public.max_bytes
    (trained / "filler").write_bytes(bytes(2000))
    full = TrainingJob(trained, max_bytes=1000)
    with pytest.raises(InputError, match="The runs on this server take"):
        full.start(tiny(), Visitor())
    assert full.current() is None
