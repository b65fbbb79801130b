"""Encode and decode beside diffusers' AutoencoderKL, with the same random weights of Stable Diffusion's size.

    python benchmarks/reconstruct.py                      256 and 512 pixels: about ten minutes on two cores
    python benchmarks/reconstruct.py --sizes 1024 --pairs 2
    python benchmarks/reconstruct.py --device cuda

Every contestant is a process of its own, and they take turns, one size at a time, so that whatever else the machine
does slows all alike; a ratio is the median over the rounds of ours / theirs within a round. PSNR (peak 2) is against
diffusers in float32 on the same input. Memory is the most that a process held above what it held with the model loaded.
On a busy machine set OMP_WAIT_POLICY=PASSIVE, so that threads that wait cost nothing, and look at processor time.

  diffusers          as from_pretrained gives it: float32, contiguous
  diffusers bf16     bfloat16, channels last; on a GPU, where its norms would copy, contiguous
  ours               `vae.load(folder)`: float32
  ours auto          `vae.load(folder, dtype="auto")`
  ours bf16          `vae.load(folder, dtype=torch.bfloat16)`
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
CONTESTANTS = ("diffusers", "diffusers bf16", "ours", "ours auto", "ours bf16")


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settle(device: str) -> None:
    """Wait for what a GPU still has to do."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


class Peak:
    """The most memory held while the block runs, above what was held before; on a GPU, torch's own count."""

    def __init__(self, device):
        self.device, self.bytes = device, 0

    def __enter__(self):
        import torch

        self.cuda = self.device == "cuda"
        self.before = torch.cuda.memory_allocated() if self.cuda else resident()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        self.over = threading.Event()
        self.watch = threading.Thread(target=self._look)
        self.watch.start()
        return self

    def _look(self):
        while not self.cuda and not self.over.wait(0.005):
            self.bytes = max(self.bytes, resident() - self.before)

    def __exit__(self, *_):
        import torch

        self.over.set()
        self.watch.join()
        if self.cuda:
            self.bytes = torch.cuda.max_memory_allocated() - self.before


def contestant(name: str, folder: Path, device: str, threads: int) -> None:
    """One process: for every line {"size"} on stdin, encode and decode once, and print seconds and bytes."""
    import torch

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
    if name.startswith("diffusers"):
        from diffusers import AutoencoderKL

        model = AutoencoderKL.from_pretrained(folder, torch_dtype=dtype).to(device).eval()
        if name == "diffusers bf16" and device == "cpu":
            model = model.to(memory_format=torch.channels_last)
        encode, decode = lambda x: model.encode(x).latent_dist.mean, lambda z: model.decode(z).sample
    else:
        sys.path.insert(0, str(REPO))
        import vae

        model = vae.load(folder, device, dtype="auto" if name == "ours auto" else dtype)
        dtype = torch.float32  # its encode and decode convert
        encode, decode = lambda x: model.encode(x).mean, model.decode

    def timed(job, argument):
        with torch.inference_mode(), Peak(device) as peak:
            settle(device)
            start, busy = time.perf_counter(), time.process_time()
            result = job(argument)
            settle(device)
            seconds, cpu = time.perf_counter() - start, time.process_time() - busy
        return {"seconds": seconds, "cpu": cpu, "bytes": peak.bytes, "result": result.float().cpu()}

    for line in sys.stdin:
        job = json.loads(line)
        inputs = torch.load(job["inputs"], weights_only=True)
        if job["warm"]:
            timed(encode, inputs["x"].to(device, dtype)), timed(decode, inputs["z"].to(device, dtype))
        found = {
            "encode": timed(encode, inputs["x"].to(device, dtype)),
            "decode": timed(decode, inputs["z"].to(device, dtype)),
        }
        torch.save({key: value.pop("result") for key, value in found.items()}, job["outputs"])
        print(json.dumps(found), flush=True)


def decibels(a, b) -> float:
    error = (a - b).square().mean().item()
    return -10 * math.log10(error / 4) if error else math.inf


def median_of(rounds: list[dict], name: str, step: str, key: str, other: str | None) -> float | None:
    """A contestant's median over the rounds; with another's name, of its share of that one's, who may not be there."""
    found = [turn[name][step][key] for turn in rounds]
    if other is None:
        return statistics.median(found)
    peers = [turn.get(other, {}).get(step, {}).get(key) for turn in rounds]
    return statistics.median(mine / peer for mine, peer in zip(found, peers, strict=True)) if all(peers) else None


def answered(process: subprocess.Popen, job: dict) -> str:
    """A contestant's line; empty if it has ended."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    return process.stdout.readline()


def compare(
    sizes: list[int], pairs: int, device: str, threads: int, names: list[str], network: str = "sd"
) -> list[dict]:
    """names: of the contestants; the first of them that finishes is what the others' PSNR is against."""
    import torch

    sys.path.insert(0, str(REPO))
    import vae
    from vae.models import KL_PRESETS, build

    rows = []
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        torch.manual_seed(0)
        vae.export(build(KL_PRESETS[network]), place / "model")
        options = ["--folder", place / "model", "--device", device, "--threads", str(threads)]
        processes = {
            name: subprocess.Popen(
                [sys.executable, __file__, *options, "--contestant", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in names
        }
        for size in sizes:
            inputs = {"x": torch.rand(1, 3, size, size) * 2 - 1, "z": torch.randn(1, 4, size // 8, size // 8)}
            torch.save(inputs, place / "inputs.pt")
            rounds, outputs = [], {}
            for turn in range(pairs):
                rounds.append({})
                for name, process in list(processes.items()):
                    job = {"inputs": f"{place}/inputs.pt", "outputs": f"{place}/{name}.pt", "warm": turn == 0}
                    answer = answered(process, job)
                    if not answer:
                        print(f"{name} did not finish, and is left out.", file=sys.stderr)
                        del processes[name]
                        continue
                    rounds[-1][name] = json.loads(answer)
                    print(f"{size}: round {turn + 1} of {pairs}, {name}", file=sys.stderr)
            there = list(processes)
            outputs = {name: torch.load(place / f"{name}.pt", weights_only=True) for name in there}
            for step in ("encode", "decode"):
                for name in there:
                    median = partial(median_of, rounds, name, step)
                    rows.append(
                        {
                            "size": size,
                            "step": step,
                            "who": name,
                            "seconds": median("seconds", None),
                            "gigabytes": median("bytes", None) / 1e9,
                            "to_diffusers": median("seconds", "diffusers"),
                            "to_diffusers_bf16": median("seconds", "diffusers bf16"),
                            "cpu_to_diffusers": median("cpu", "diffusers"),
                            "cpu_to_diffusers_bf16": median("cpu", "diffusers bf16"),
                            "memory_to_diffusers": median("bytes", "diffusers"),
                            "memory_to_diffusers_bf16": median("bytes", "diffusers bf16"),
                            "psnr": decibels(outputs[name][step], outputs[there[0]][step]),
                        }
                    )
        for process in processes.values():
            process.stdin.close()
            process.wait()
    if not rows:
        raise SystemExit("No contestant finished.")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--pairs", type=int, default=3, help="rounds that the median is over")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS, help="who takes part")
    parser.add_argument("--quick", action="store_true", help="a narrow network: tests the machinery only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        return contestant(options.contestant, options.folder, options.device, options.threads)
    if not find_spec("diffusers"):
        print("diffusers is not installed here, so it is left out.", file=sys.stderr)
        options.only = [name for name in options.only if not name.startswith("diffusers")]
    network = "sd-small" if options.quick else "sd"
    rows = compare(options.sizes, options.pairs, options.device, options.threads, options.only, network)
    if options.json:
        return print(json.dumps(rows, indent=1))
    print(f"{'':28}  seconds          /diffusers   /diffusers bf16     memory")
    print("size  step    who              median       wall   cpu      wall   cpu      GB  ratio     dB")
    for row in rows:
        shares = [
            "     –" if row[key] is None else f"{row[key]:6.2f}"
            for key in ("to_diffusers", "cpu_to_diffusers", "to_diffusers_bf16", "cpu_to_diffusers_bf16")
        ]
        memory = "–" if row["memory_to_diffusers"] is None else f"{row['memory_to_diffusers']:.2f}"
        print(
            f"{row['size']:<5} {row['step']:<7} {row['who']:<15} {row['seconds']:6.2f}     "
            f"{' '.join(shares)}  {row['gigabytes']:6.2f}  {memory:>5}  {row['psnr']:5.1f}"
        )


if __name__ == "__main__":
    main()
