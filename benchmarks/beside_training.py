"""What a training in the app's process leaves of the page's speed: reconstructing a digit beside it, and without.

    python benchmarks/beside_training.py            40 calls each
    python benchmarks/beside_training.py --calls 5  shorter
    python benchmarks/beside_training.py --quick    the machinery alone; its figures mean nothing

Starts the app in a process of its own and calls its endpoint /reconstruct over HTTP, one call after another, as an
idle server and while mnist-vae trains there on the digits. Prints the medians in milliseconds, their ratio, and the
training's images a second.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from served import serving


def milliseconds(client, picture: Path, calls: int) -> list[float]:
    from gradio_client import handle_file

    took = []
    for _ in range(calls):
        start = time.perf_counter()
        client.predict(image=handle_file(str(picture)), model="mnist-vae", api_name="/reconstruct")
        took.append(1000 * (time.perf_counter() - start))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="2 calls each: tests the machinery only")
    options = parser.parse_args()
    if options.quick:
        options.calls = 2
    from vae.data.sets import load_data
    from vae.images import to_image

    with tempfile.TemporaryDirectory() as folder, serving() as served:
        picture = Path(folder) / "digit.png"
        to_image(load_data("digits", "test").images[0]).save(picture)
        milliseconds(served.client, picture, 3)  # the model is loaded, the connections are there
        idle = milliseconds(served.client, picture, options.calls)
        run = served.client.predict(data="digits", epochs=100_000, api_name="/train_start")["run"]
        state = served.runs / run / "state.json"
        while "images_per_second" not in json.loads(state.read_text()):
            time.sleep(0.2)
        time.sleep(0 if options.quick else 3)
        busy = milliseconds(served.client, picture, options.calls)
        now = json.loads(state.read_text())
        assert now["state"] == "running", now
        served.client.predict(run=run, api_name="/train_stop")
    before, beside = statistics.median(idle), statistics.median(busy)
    report = {"idle_ms": round(before, 1), "training_ms": round(beside, 1), "ratio": round(beside / before, 2)}
    print(json.dumps(report | {"images_per_second": round(now["images_per_second"])}))


if __name__ == "__main__":
    main()
