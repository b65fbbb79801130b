"""How the threads that compute together wait for one another."""

import os


def wait_asleep() -> None:
    """Have threads that wait for others sleep rather than spin, unless the environment says how (OMP_WAIT_POLICY).

    For all of this process's computing, if called before torch is imported; later it changes nothing. A thread that
    spins keeps its core from whoever it waits for: beside one other busy process on two cores, two spinning threads
    train a small network at an eighth of what one does alone, two sleeping ones at four fifths and more. The results
    are the same to the last bit. benchmarks/shared_cpu.py has the figures.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
