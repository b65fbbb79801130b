"""The command that computes for pages: serve."""

import os
from typing import Annotated

import typer


def serve(
    replicas: Annotated[int, typer.Option(help="How many processes hold models and compute, at least.", min=1)] = 1,
    most: Annotated[
        int | None, typer.Option(help="How many where more calls wait; as --replicas unless given.", min=1)
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(help="GPUs of each, or a share of one, like 0.25; one where there are any.", min=0),
    ] = None,
    cpus: Annotated[float, typer.Option(help="Processor cores of each.", min=0)] = 1.0,
    batch: Annotated[
        int | None,
        typer.Option(help="Passes through a small network made at once, at most; 16 on a GPU, else 1.", min=1),
    ] = None,
) -> None:
    """Compute for pages that run with VAE_SERVE=ray, until Ctrl-C or SIGTERM.

    On the Ray cluster that RAY_ADDRESS names, or on one of its own, which only this machine can reach.
    """
    from vae.errors import InputError
    from vae.ui.settings import guard_ray

    guard_ray()
    own = not os.environ.get("RAY_ADDRESS")
    try:
        import ray
        from ray import serve as ray_serve
    except ModuleNotFoundError:
        raise InputError("vae serve needs the library Ray: pip install 'ray[serve]'.") from None
    from vae.ui.serving.ray_app import APP, application

    try:
        ray.init("local" if own else None, include_dashboard=False if own else None)
    except ConnectionError as error:
        raise InputError(f"There is no Ray cluster at {os.environ['RAY_ADDRESS']!r} (RAY_ADDRESS).") from error
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU") else 0.0
    for kind, share in (("GPU", gpus), ("CPU", cpus)):  # Ray would wait for them without a word
        there = ray.cluster_resources().get(kind, 0)
        if replicas * share > there:
            raise InputError(f"{replicas} replicas with {share:g} {kind} each need more than the {there:g} there are.")
    app = application(replicas, max(replicas, most or replicas), gpus, cpus, batch or (16 if gpus else 1))
    ray_serve.start(proxy_location="Disabled")  # pages ask through Ray itself; nothing listens for HTTP
    ray_serve.run(app, name=APP, route_prefix=None)
    address = ray.get_runtime_context().gcs_address
    print(f"Ready. A page uses it with: VAE_SERVE=ray RAY_ADDRESS={address} python app.py", flush=True)
    wait_until_stopped()
    if own:
        ray_serve.shutdown()


def wait_until_stopped() -> None:
    import contextlib
    import signal
    import threading

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C; Ray's own handler aborts
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
