"""What one visitor can do to a public server and to the others on it: attacks, one after another, on the running app.

    python benchmarks/attacks.py

Starts the app in a process of its own, listening on all addresses; every request goes to this machine with the headers
of a proxy. Prints a row for each attack: what was tried, how many of its requests were refused, whether the server was
gone, what another visitor then waited for a reconstructed digit and whether it was theirs, and the server's resident
memory before and after it, and half a minute later.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from load import API, Failed, Visitor, resident
from served import Served, serving

ATTACKER, VICTIM = 7000, 7001


class Attacker(Visitor):
    """One visitor, who counts what they are refused."""

    def __init__(self, served: Served):
        super().__init__(served, ATTACKER)
        self.refused = 0

    def tries(self, what: Callable, every: Iterable) -> None:
        """what(each), many at a time; an answer that is an error, or says one, is a refusal."""

        def attempt(each: object) -> bool:
            try:
                return "error" in str(what(each))[:200]
            except (OSError, Failed, http.client.HTTPException):
                return True

        with ThreadPoolExecutor(16) as threads:
            self.refused += sum(threads.map(attempt, every))

    def post(self, path: str, body: object, **headers: str) -> str:
        """Over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", API + path, sent, self.headers | headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        if answer.status != 200:
            raise Failed(text)
        return text

    def script_of(self, function: str, session: str, data: object) -> str:
        part = next(c for c in self.config["components"] if function in (c["props"].get("server_fns") or ()))
        body = {"data": data, "component_id": part["id"], "fn_name": function, "session_hash": session}
        return self.post("/component_server", body)

    def opened(self, request: bytes) -> socket.socket:
        """A connection on which this was sent, left open."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items() if name != "Content-Type")
        connection.sendall(request.replace(b"HEADERS", f"Host: studio.example.org\r\n{head}".encode()))
        return connection


def calls(who: Attacker) -> None:
    who.tries(lambda i: who.post("/call/sample", {"data": ["dogs-vae", 64, i, 1.0, "normal", None]}), range(132))


def sessions(who: Attacker) -> None:
    who.tries(lambda i: who.script_of("watch_run", f"made up {i}", {"page": f"page {i}"}), range(3000))


def names(who: Attacker) -> None:
    who.tries(lambda i: who.script_of("open_model", "0123456789", f"no-one/model-{i}/../../etc"), range(300))
    who.tries(
        lambda i: who.post("/call/sample", {"data": [f"no-one/model {i}", 1, 0, 1.0, "normal", None]}), range(300)
    )


def large_bodies(who: Attacker) -> None:
    who.tries(lambda _: who.post("/call/sample", b'{"data": ["' + b"x" * 100_000_000), range(4))
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    who.tries(lambda _: who.post("/component_server", b"--x" + b"0" * 60_000_000, **form), range(4))


def uploads(who: Attacker) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    who.tries(
        lambda i: who.post("/upload", head + bytes([i]) * 30_000_000 + b"\r\n--x--\r\n", **form) and None, range(40)
    )


def half_uploads(who: Attacker) -> None:
    head = b"POST /gradio_api/upload HTTP/1.1\r\nHEADERSContent-Type: multipart/form-data; boundary=x\r\n"
    head += b'Content-Length: 9000000\r\n\r\n--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    for _ in range(100):
        who.opened(head + b"0" * 1_000_000).close()


def open_connections(who: Attacker) -> None:
    left_open = [who.opened(b"GET /gradio_api/heartbeat/abcdefgh HTTP/1.1\r\nHEADERS\r\n") for _ in range(400)]
    time.sleep(2)
    who.refused += sum(b" 429 " in connection.recv(100) for connection in left_open)
    for connection in left_open:
        connection.close()


def trainings(who: Attacker) -> None:
    def start(_: int) -> str:
        found = json.loads(who.post("/call/v2/train_start", {"data": "digits", "epochs": 1}))
        return who._ask("GET", f"{API}/call/train_start/{found['event_id']}").decode()

    for i in range(6):
        said = start(i)
        who.refused += "event: error" in said
        time.sleep(3)


def cross_site(who: Attacker) -> None:
    who.tries(lambda _: who.post("/upload", b"", **{"Sec-Fetch-Site": "cross-site"}), range(5))


ATTACKS = (calls, sessions, names, large_bodies, uploads, half_uploads, open_connections, trainings, cross_site)


def row(served: Served, attack: Callable, victim: Visitor) -> dict:
    who, before = Attacker(served), resident(served.pid)
    attack(who)
    after, start = resident(served.pid), time.perf_counter()
    try:
        victim.reconstruct()  # raises MixUp if it is another's
        crashed, leaked = False, False
    except Failed as error:
        crashed, leaked = True, "another's" in str(error)
    waited = time.perf_counter() - start
    time.sleep(30)
    return {
        "tried": attack.__name__,
        "refused": who.refused,
        "crashed": crashed,
        "leaked": leaked,
        "others_waited_s": round(waited, 2),
        "memory_mb": [round(before), round(after), round(resident(served.pid))],
    }


def main() -> None:
    with serving(GRADIO_SERVER_NAME="0.0.0.0", HF_HUB_OFFLINE="1") as served:
        victim = Visitor(served, VICTIM)
        victim.reconstruct()
        for attack in ATTACKS:
            print(json.dumps(row(served, attack, victim)), flush=True)


if __name__ == "__main__":
    main()
