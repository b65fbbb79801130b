"""Contestants that are processes of their own and take turns, so that whatever else a machine does slows all alike."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


class Turns:
    """In a contestant's process: wait for one's turn, say how it went."""

    def __init__(self):
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what a library prints must not come between
        self.clock = dict.fromkeys(("forward", "backward", "step"), 0.0)
        self.wait()

    def wait(self) -> None:
        if not sys.stdin.readline():
            raise SystemExit  # the comparison is over
        for part in self.clock:
            self.clock[part] = 0.0
        self.start = time.perf_counter()

    def done(self, images: int, trained: float | None = None, **figures) -> None:
        """The turn is over. trained: its seconds without validation, else all of them."""
        seconds = time.perf_counter() - self.start
        core = sum(self.clock.values())
        figures |= {"seconds": seconds, "trained": trained or seconds, "images": images, "core": core}
        print(json.dumps(figures), file=self.out, flush=True)
        self.wait()

    def timed(self, part: str, function):
        """`function`, its time added to that part's."""

        def call(*arguments, **named):
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.clock[part] += time.perf_counter() - start

        return call


class Contestant:
    """The parent's side of one."""

    def __init__(self, script: str, arguments: list, python: str = sys.executable, verbose: bool = False):
        self.turns: list[dict] = []
        others = os.environ.get("PYTHONPATH")  # where a peer may lie
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPO), *([others] if others else [])])}
        self.process = subprocess.Popen(
            [python, script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if verbose else subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def tell(self, word: str) -> bool:
        """Whether the process was there to hear it."""
        try:
            self.process.stdin.write(f"{word}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def turn(self) -> bool:
        """One turn; False if there are no more."""
        line = self.process.stdout.readline() if self.tell("go") else ""
        if line:
            self.turns.append(json.loads(line))
        return bool(line)

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()
        self.process.kill()
        self.process.wait()
