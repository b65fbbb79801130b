"""What watchers cost: pages that follow a training, against none.

    python benchmarks/watchers.py --viewers 20 --seconds 10 --rounds 10

Starts the app in a process of its own, trains mnist-vae there over HTTP, and lets `viewers` pages ask as the Train
tab's script does: each with its own cursors, at the pace the server tells it, previews fetched at the script's own
thrift. Short windows in which they wait and in which they ask take turns, for a machine's speed drifts. As JSON:

    images_per_second   without and with watchers, medians of the windows, and what watching took of them in per cent
    images_per_cpu_second   the same for each CPU second of the server, which other work on the machine disturbs less
    bytes_per_second    of one page after its first view, both ways together, headers included; and of its first view
    server_ms_per_ask   CPU time of the server an ask takes, measured with no training running
    core_share_percent  of one core, that all the watchers take in that state
    watchers_core_percent   of one core, that the watchers' own process takes while they ask

The watchers run on the same machine, at the lowest priority; on a machine with few cores what they themselves take is
part of the loss measured, which is then an upper bound. server_ms_per_ask does not have it.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import threading
import time
from pathlib import Path

from served import Served, serving

THRIFT = 1500  # bytes a second, as IDLE_RATE in training_previews.js


class Page:
    """One page that watches: a thread that asks as the script does, while `asking` is set."""

    def __init__(self, port: int, component: int, number: int, asking: threading.Event):
        self.port, self.component, self.asking = port, component, asking
        self.bytes = self.first_bytes = self.asks = 0
        self.known = {"page": f"page {number}", "run": None, "follow": True, "list": None, "cursors": {}, "seen": -1}
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _call(self, connection: http.client.HTTPConnection, name: str, data: object) -> object:
        body = json.dumps(
            {"data": data, "component_id": self.component, "fn_name": name, "session_hash": "watcherpage"}
        )
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        try:
            connection.request("POST", "/gradio_api/component_server", body, headers)
            answer = connection.getresponse()
        except ConnectionError:  # kept open too long without a word
            connection.close()
            connection.request("POST", "/gradio_api/component_server", body, headers)
            answer = connection.getresponse()
        payload = answer.read()
        self.bytes += len(body) + len(payload) + sum(len(k) + len(v) + 4 for k, v in answer.getheaders()) + 600
        if answer.getheader("Content-Encoding") == "gzip":
            import gzip

            payload = gzip.decompress(payload)
        assert answer.status == 200, payload[:300]
        return json.loads(payload)

    def _watch(self) -> None:
        connection, fetch_at, newest = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60), 0.0, None
        pace = 0.0
        while True:
            if not self.asking.is_set():
                self.asking.wait()
                self.stop.wait(random.uniform(0, pace))  # pages do not all ask in the same moment
            if self.stop.is_set():
                return
            news = self._call(connection, "watch_run", self.known)
            self.asks += 1
            cursors = {name: curve["cursor"] for name, curve in news["curves"].items()}
            seen = news["previews"][-1][0] if news["previews"] else self.known["seen"]
            newest = news["previews"][-1] if news["previews"] else newest
            self.known |= {"run": news["run"], "list": news["list"]["version"], "cursors": cursors, "seen": seen}
            if newest and time.monotonic() > fetch_at:
                wanted = [[kind, newest[0]] for kind in ("samples", "reconstruction")]
                found = self._call(connection, "see_previews", {"run": news["run"], "wanted": wanted})
                fetch_at, newest = time.monotonic() + sum(map(len, found.values())) / THRIFT, None
            if not self.first_bytes:
                self.first_bytes, self.bytes = self.bytes, 0
            pace = news["wait"] / 1000
            self.stop.wait(pace)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def steps(run: Path) -> tuple[float, int]:
    state = json.loads((run / "state.json").read_text())
    return state["updated"], state["step"]


def rate(run: Path, seconds: float, batch: int, pid: int) -> tuple[float, float]:
    """Images a second over a window, from what the training says of itself; and a CPU second of the whole server."""
    (before, first), spent, start = steps(run), cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    while steps(run)[0] == before:  # it says how far it is twice a second
        time.sleep(0.05)
    spent, took, (after, last) = cpu_seconds(pid) - spent, time.monotonic() - start, steps(run)
    images = (last - first) * batch / (after - before)
    return images, images * took / max(spent, 1 / os.sysconf("SC_CLK_TCK"))


def compared(windows: list[tuple[float, float]]) -> dict:
    """Medians of (without, with) pairs, and of what each pair lost."""
    without, watched = (statistics.median(side) for side in zip(*windows, strict=True))
    lost = statistics.median(100 * (1 - b / a) for a, b in windows)
    return {
        "without": round(without, 1),
        "with": round(watched, 1),
        "loss_percent": round(lost, 2),
        "windows": [[round(a), round(b)] for a, b in windows],
    }


def watching(port: int, component: int, viewers: int, asking: threading.Event) -> list[Page]:
    """So many pages, each after its first view."""
    pages = [Page(port, component, i, asking) for i in range(viewers)]
    asking.set()
    for page in pages:
        page.thread.start()
        time.sleep(1.0 / viewers)
    while not all(page.first_bytes for page in pages):
        time.sleep(0.1)
    return pages


def close(pages: list[Page], asking: threading.Event) -> None:
    for page in pages:
        page.stop.set()
    asking.set()
    for page in pages:
        page.thread.join(10)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--viewers", type=int, default=20)
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--data", default="digits")
    options.add_argument("--threads", type=int, default=1, help="of the training; leave a core for the watchers")
    options.add_argument("--quick", action="store_true", help="test the machinery; the figures mean nothing")
    given = options.parse_args()
    if given.quick:
        given.viewers, given.seconds, given.rounds = 2, 0.5, 1
    with serving(given.threads) as served:
        print(json.dumps(measured(served, given), indent=2))


def measured(served: Served, given: argparse.Namespace) -> dict:
    rest = (lambda seconds: None) if given.quick else time.sleep  # until what went before has come to rest
    client, port, pid = served.client, served.port, served.pid
    parts = [c for c in client.config["components"] if "watch_run" in json.dumps(c["props"].get("server_fns") or "")]
    component = parts[0]["id"]
    os.nice(15)  # the server comes first

    started = client.predict(data=given.data, epochs=100_000, api_name="/train_start")
    run = served.runs / started["run"]
    batch = json.loads((run / "config.json").read_text())["batch_size"]
    while not json.loads((run / "state.json").read_text()).get("step"):
        time.sleep(0.2)
    rest(4)
    asking = threading.Event()
    pages = watching(port, component, given.viewers, asking)
    alone, watched, sent, own = [], [], [], 0.0
    for _ in range(given.rounds):
        asking.clear()
        rest(0.5)
        alone.append(rate(run, given.seconds, batch, pid))
        asking.set()
        rest(0.5)
        before, start, spent = [page.bytes for page in pages], time.monotonic(), time.process_time()
        watched.append(rate(run, given.seconds, batch, pid))
        took, own = time.monotonic() - start, own + time.process_time() - spent
        sent.append([(page.bytes - b) / took for page, b in zip(pages, before, strict=True)])
    client.predict(run=started["run"], api_name="/train_stop")
    rest(3)

    seconds = given.seconds if given.quick else max(given.seconds, 10.0)
    asking.clear()
    rest(1)
    idle, start = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    idle = (cpu_seconds(pid) - idle) / (time.monotonic() - start)
    asking.set()
    rest(3)
    busy, start, before = cpu_seconds(pid), time.monotonic(), sum(page.asks for page in pages)
    time.sleep(seconds)
    while sum(page.asks for page in pages) == before:  # with few viewers nobody may have asked yet
        time.sleep(0.05)
    asks, took = sum(page.asks for page in pages) - before, time.monotonic() - start
    busy = (cpu_seconds(pid) - busy) / took
    close(pages, asking)
    each = [statistics.mean(window) for window in zip(*sent, strict=True)]  # a page's mean over all windows
    wall, cpu = ([(a[i], b[i]) for a, b in zip(alone, watched, strict=True)] for i in (0, 1))
    return {
        "viewers": given.viewers,
        "images_per_second": compared(wall),
        "images_per_cpu_second": compared(cpu),
        "bytes_per_second": {"median": round(statistics.median(each)), "most": round(max(each))},
        "first_view_bytes": round(statistics.median(page.first_bytes for page in pages)),
        "asks_per_second": round(asks / took, 2),
        "server_ms_per_ask": round(1000 * (busy - idle) * took / max(asks, 1), 2),
        "core_share_percent": round(100 * (busy - idle), 2),
        "watchers_core_percent": round(100 * own / (given.rounds * given.seconds), 2),
    }


if __name__ == "__main__":
    main()
