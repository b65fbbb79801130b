"""The training loop in one process. Kills are in test_resume.py, several processes in test_distributed.py."""

import json
import math
import shutil
import signal
import threading
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import tiny, tiny_kl, untimed

import vae.training.batches
import vae.training.loop
import vae.training.recorder
from vae.checkpoints.store import load
from vae.data.sets import load_data
from vae.errors import InputError
from vae.images import to_float
from vae.latents import scale
from vae.models import build
from vae.training import metrics_file
from vae.training.loop import fit
from vae.training.runs import Run, RunWriter, new_run_folder

EPOCH = {
    *("kind", "epoch", "step", "loss", "reconstruction", "kl", "val_loss", "val_reconstruction", "val_kl"),
    *("learning_rate", "images_per_second", "seconds"),
}
STEP = {"kind", "step", "epoch", "loss", "reconstruction", "kl", "learning_rate"}


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    torch.set_num_threads(1)
    return fit(tiny(), tmp_path_factory.mktemp("runs") / "whole", device="cpu")


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.model_folder() / "model.safetensors")


def stop_after(step: int, monkeypatch):
    """Let the next training be asked to stop after that update."""
    update = vae.training.loop.Trainer.update

    def updating(self):
        update(self)
        if self.step + 1 == step:
            self.writer.request_stop()

    monkeypatch.setattr(vae.training.loop.Trainer, "update", updating)


def test_a_run_leaves_all_that_the_contract_names(whole):
    state = whole.state()
    assert state["state"] == "finished" and state["reason"] is None
    assert (state["step"], state["steps"], state["epoch"], state["epochs"]) == (30, 30, 3, 3)
    assert (state["train_images"], state["val_images"], state["epoch_steps"]) == (1437, 360, 10)
    epochs = [line for line in whole.metrics() if line["kind"] == "epoch"]
    steps = [line for line in whole.metrics() if line["kind"] == "step"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3] and all(set(line) == EPOCH for line in epochs)
    assert [line["step"] for line in steps] == list(range(1, 31)) and all(set(line) == STEP for line in steps)
    for line in epochs:
        assert line["loss"] == pytest.approx(line["reconstruction"] + line["kl"])
        assert line["val_loss"] == pytest.approx(line["val_reconstruction"] + line["val_kl"], rel=1e-5)
        mean = sum(s["loss"] for s in steps if s["epoch"] == line["epoch"]) / 10
        assert line["loss"] == pytest.approx(mean)
    assert epochs[-1]["val_loss"] < 0.8 * steps[0]["loss"]
    assert whole.config() == json.loads(json.dumps(tiny().to_dict()))


def test_previews_show_the_same_digits_and_noise_through_time(whole):
    previews = whole.previews()
    by_kind = {kind: [p for p in previews if p["kind"] == kind] for kind in ("reconstruction", "samples")}
    assert [p["step"] for p in by_kind["samples"]] == [p["step"] for p in by_kind["reconstruction"]]
    assert by_kind["samples"][0]["step"] == 0 and by_kind["samples"][-1]["step"] == 30
    assert all(p["epoch"] == math.ceil(p["step"] / 10) for p in previews)
    first, last = (Image.open(by_kind["reconstruction"][i]["path"]) for i in (0, -1))
    assert first.size == last.size
    half = (0, 0, first.width, first.height // 2)  # the originals above, what the model makes of them below
    assert first.crop(half).tobytes() == last.crop(half).tobytes() and first.tobytes() != last.tobytes()


def test_the_model_kept_is_the_model_validated(whole):
    model = load(whole.folder, device="cpu")
    data = load_data("digits", "test", 8, 1)
    x = to_float(data.images)
    with torch.no_grad():
        posterior = model.encode(x)
        error = (model.decode(posterior.mode()) - x).mul(0.5).square().sum((1, 2, 3)).mean()
    last = [line for line in whole.metrics() if line["kind"] == "epoch"][-1]
    assert posterior.kl().mean().item() == pytest.approx(last["val_kl"], rel=1e-4)
    assert error.item() == pytest.approx(last["val_reconstruction"], rel=0.05)  # its noise apart
    assert len(whole.checkpoints()) == 1


def test_the_same_seed_gives_the_same_run_and_leaves_the_processs_generator_alone(whole, tmp_path):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    again = fit(tiny(), tmp_path / "again", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert untimed(again) == untimed(whole)
    other = fit(tiny(seed=6, epochs=1), tmp_path / "other", device="cpu")
    assert untimed(other)[0] != untimed(whole)[0]


@pytest.mark.parametrize("step", [10, 13])
def test_stopped_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch, step):
    with monkeypatch.context() as patch:
        stop_after(step, patch)
        stopped = fit(tiny(), tmp_path / "run", device="cpu")
    assert stopped.state()["state"] == "stopped" and stopped.state()["reason"] == "Stopped on request."
    assert stopped.state()["step"] == step and stopped.model_folder().name == f"step-{step:08d}"
    resumed = fit(tiny(), tmp_path / "run", resume=True, device="cpu")
    assert resumed.state()["state"] == "finished" and resumed.state()["reason"] is None
    assert untimed(resumed) == untimed(whole)
    assert all(torch.equal(tensor, weights(resumed)[name]) for name, tensor in weights(whole).items())
    steps = [p["step"] for p in resumed.previews()]
    assert {p["step"] for p in whole.previews()} <= set(steps)


@pytest.mark.parametrize("changes", [{"ema_images": 500, "clip": 1.0, "flip": True}, {"precision": "bf16"}])
def test_resuming_is_exact_with_averages_clipping_mirroring_and_bf16(tmp_path, monkeypatch, changes):
    config = tiny(epochs=2, accumulate=2, **changes)
    whole = fit(config, tmp_path / "whole", device="cpu")
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        fit(config, tmp_path / "run", device="cpu")
    resumed = fit(config, tmp_path / "run", resume=True, device="cpu")
    assert untimed(resumed) == untimed(whole)
    assert all(torch.equal(tensor, weights(resumed)[name]) for name, tensor in weights(whole).items())


def test_resume_takes_a_run_and_goes_beyond_its_end_on_wish(tmp_path):
    fit(tiny(epochs=1), tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match=r"no run '.*rum' to resume; the nearest name there is 'run'"):
        fit(tiny(epochs=1), tmp_path / "rum", resume=True, device="cpu")
    assert [f.name for f in tmp_path.iterdir()] == ["run"]
    longer = fit(tiny(epochs=2), tmp_path / "run", resume=True, device="cpu")
    assert longer.state()["epoch"] == 2 and longer.config()["epochs"] == 2
    epochs = [line for line in longer.metrics() if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2]
    assert longer.state()["best"] == min(line["val_loss"] for line in epochs) == metrics_file.best(longer.folder)
    before = longer.state(), longer.config(), longer.metrics()
    with pytest.raises(InputError, match=r"has beta 1.0, not 9.0, and a resumed run keeps .* leave out --beta"):
        fit(tiny(epochs=2, beta=9.0), tmp_path / "run", resume=True, device="cpu")
    with pytest.raises(InputError, match="trained for 2 epochs already"):
        fit(tiny(epochs=1), tmp_path / "run", resume=True, device="cpu")
    state = longer.state()
    assert (state["state"], state["reason"], longer.config(), longer.metrics()) == ("finished", None, *before[1:])
    again = fit(tiny(epochs=2), tmp_path / "run", resume=True, device="cpu")  # nothing left to do
    assert again.state()["state"] == "finished" and untimed(again) == untimed(longer)


def test_an_existing_run_is_not_overwritten_but_one_that_never_began_is(tmp_path, monkeypatch):
    monkeypatch.setattr(vae.training.loop, "give_way", lambda: None)  # or this process stays less urgent
    with pytest.raises(InputError, match="no data set 'nonsense'"):
        fit(tiny(data="nonsense"), tmp_path / "run", device="cpu")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="no data set 'nonsense'"):  # here nobody is told but by the run
        fit(tiny(data="nonsense"), tmp_path / "run", device="cpu", background=True)
    failed = Run(tmp_path / "run").state()
    assert failed["state"] == "failed" and "nonsense" in failed["reason"]
    fit(tiny(epochs=1), tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match="'run' exists already; resume it"):
        fit(tiny(epochs=1), tmp_path / "run", device="cpu")
    assert Run(tmp_path / "run").state()["state"] == "finished"


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(InputError, match=r"no run and not empty \(it holds holiday.jpg\)"):
        fit(tiny(), tmp_path / "photos", device="cpu")
    assert [f.name for f in (tmp_path / "photos").iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("resume", [False, True])
def test_another_programs_run_is_none_of_ours(tmp_path, resume):
    files = {"config.json": '{"epochs": 3}', "state.json": '{"state": {}}', "optimizer.bin": "theirs"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="no run and not empty"):
        fit(tiny(), tmp_path, resume=resume, device="cpu")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == files


def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(13, patch)
        run = fit(tiny(), tmp_path / "run", device="cpu")
    good = run.model_folder()
    torn = good.with_name("step-00000020")
    shutil.copytree(good, torn)
    (torn / "trainer.pt").write_bytes((good / "trainer.pt").read_bytes()[:-999])
    worse = good.with_name("step-00000021")
    shutil.copytree(good, worse)
    (worse / "trainer.pt").unlink()
    half = good.with_name("step-00000022")
    shutil.copytree(good, half)
    (half / "model.safetensors").write_bytes(b"")
    (good.parent / ".step-00000023.abc").mkdir()
    resumed = fit(tiny(), run.folder, resume=True, device="cpu")
    assert untimed(resumed) == untimed(whole)
    assert [f.name for f in good.parent.iterdir()] == ["step-00000030"]


def test_with_no_sound_checkpoint_it_begins_again(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(13, patch)
        run = fit(tiny(), tmp_path / "run", device="cpu")
    (run.model_folder() / "trainer.pt").write_bytes(b"\0" * 1000)
    resumed = fit(tiny(), run.folder, resume=True, device="cpu")
    assert untimed(resumed) == untimed(whole)


def test_accumulating_equals_the_big_batch(tmp_path):
    # Without batch norm, whose statistics are a batch's own.
    config = tiny_kl(epochs=1, batch_size=64, flip=True)
    big = fit(config, tmp_path / "big", device="cpu", max_minutes=1)
    small = fit(replace(config, batch_size=16, accumulate=4), tmp_path / "small", device="cpu")
    assert big.state()["epoch_steps"] == small.state()["epoch_steps"] == 22
    ours, theirs = big.metrics(), small.metrics()
    for a, b in zip(ours[:6], theirs[:6], strict=True):  # later, rounding has grown
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3) and a["kl"] == pytest.approx(b["kl"], rel=1e-2)
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=1e-5)


def test_the_weights_average_is_what_is_saved(tmp_path):
    run = fit(tiny(epochs=1, ema_images=1000), tmp_path / "run", device="cpu")
    state = torch.load(run.model_folder() / "trainer.pt", weights_only=True)
    averaged = weights(run)
    assert any(not torch.equal(averaged[name], tensor) for name, tensor in state["model"].items())


@pytest.mark.parametrize("rate", [10.0, 1.0])
def test_a_loss_that_explodes_fails_the_run_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch, rate):
    config = tiny(epochs=30, learning_rate=rate, schedule="constant", reconstruction="sum")
    monkeypatch.setattr(vae.training.stopping, "EXPLODED", 10.0)
    with pytest.raises(InputError, match=r"The loss became .* lower the learning rate \(it was"):
        fit(config, tmp_path / "run", device="cpu")
    run = Run(tmp_path / "run")
    state = run.state()
    assert state["state"] == "failed" and state["reason"].count(". ") == 1 and "Traceback" not in state["reason"]
    assert all(torch.isfinite(t).all() for t in weights(run).values())
    assert load(run.folder, device="cpu").parameter_count > 0
    assert all(math.isfinite(line["loss"]) for line in run.metrics())


def test_a_loss_that_is_not_a_number_fails_the_run_before_it_is_saved(tmp_path, monkeypatch):
    update = vae.training.loop.Trainer.update

    def poisoned(self):
        update(self)
        if self.step == 14:
            with torch.no_grad():
                next(self.raw.parameters()).fill_(math.nan)

    monkeypatch.setattr(vae.training.loop.Trainer, "update", poisoned)
    monkeypatch.setattr(
        vae.training.recorder.Recorder, "due", lambda self: self.writer.model_folder().name < "step-00000014"
    )
    with pytest.raises(InputError, match=r"The loss became nan at step 1[56]"):
        fit(tiny(), tmp_path / "run", device="cpu")
    run = Run(tmp_path / "run")
    assert run.state()["state"] == "failed" and run.model_folder().name == "step-00000014"
    assert len(run.metrics()) == run.metrics()[-1]["step"] + 1


def test_an_unwritable_run_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        fit(tiny(), tmp_path / "file" / "run", device="cpu")


@pytest.mark.parametrize("where", ["append", "preview", "checkpoint"])
def test_a_full_disk_fails_the_run_in_one_sentence_and_can_be_gone_on_from(whole, tmp_path, monkeypatch, where):
    full = OSError(28, "No space left on device")

    def failing(original, at):
        def write(self, *arguments, **named):
            if at(*arguments, **named):
                raise full
            return original(self, *arguments, **named)

        return write

    with monkeypatch.context() as patch:
        patch.setattr(vae.training.recorder.Recorder, "due", lambda self: True)
        if where == "append":
            at = failing(RunWriter.append, lambda entry: entry["step"] == 12)
            patch.setattr(RunWriter, "append", at)
        elif where == "preview":
            at = failing(RunWriter.preview, lambda kind, step, epoch, png: step == 12)
            patch.setattr(RunWriter, "preview", at)
        else:
            save = torch.save

            def fails(state, file):
                if state["step"] == 12:
                    raise full
                save(state, file)

            patch.setattr(torch, "save", fails)
        with pytest.raises(InputError, match="No space left on device"):
            fit(tiny(), tmp_path / "run", device="cpu")
    run = Run(tmp_path / "run")
    assert run.state()["state"] == "failed" and "No space left on device" in run.state()["reason"]
    assert run.model_folder().name == "step-00000011"
    assert not [f for f in run.folder.rglob(".*") if f.name.startswith(".")]
    assert untimed(fit(tiny(), run.folder, resume=True, device="cpu")) == untimed(whole)


def test_a_picture_that_vanishes_fails_the_run_in_one_sentence(tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(40):
        Image.new("L", (8, 8), i * 6).save(pictures / f"{i:02d}.png")
    monkeypatch.setattr(vae.training.batches, "load_data", lambda *a, **k: load_data(*a, limit_bytes=0, **k))
    preview = vae.training.loop.Trainer.preview

    def vanishing(self):
        preview(self)
        if self.step == 0:
            for file in pictures.iterdir():
                file.unlink()

    monkeypatch.setattr(vae.training.loop.Trainer, "preview", vanishing)
    with pytest.raises(InputError, match="has vanished"):
        fit(tiny(data=str(pictures), batch_size=8), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_pictures_read_on_demand_train_as_those_in_memory(tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(40):
        Image.linear_gradient("L").rotate(90 * i).resize((8 + i, 8 + i)).save(pictures / f"{i:02d}.png")
    config = tiny(data=str(pictures), batch_size=8, epochs=2)
    held = fit(config, tmp_path / "held", device="cpu")
    monkeypatch.setattr(vae.training.batches, "load_data", lambda *a, **k: load_data(*a, limit_bytes=0, **k))
    read = fit(config, tmp_path / "read", device="cpu")
    assert untimed(read) == untimed(held)


def test_data_that_changed_since_are_not_gone_on_with(tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(20):
        Image.new("L", (8, 8), i * 12).save(pictures / f"{i:02d}.png")
    fit(tiny(data=str(pictures), epochs=1, batch_size=8), tmp_path / "run", device="cpu")
    for i in range(5):
        (pictures / f"{i:02d}.png").unlink()
    with pytest.raises(InputError, match="had 16 training images when this run began and has 12 now"):
        fit(tiny(data=str(pictures), epochs=2, batch_size=8), tmp_path / "run", resume=True, device="cpu")


def test_one_training_at_a_time_in_a_folder_and_in_a_process(tmp_path, monkeypatch):
    going, may_end = threading.Event(), threading.Event()
    update = vae.training.loop.Trainer.update

    def slow(self):
        update(self)
        going.set()
        may_end.wait(120)

    monkeypatch.setattr(vae.training.loop.Trainer, "update", slow)
    thread = threading.Thread(target=fit, args=(tiny(epochs=1), tmp_path / "run"), kwargs={"device": "cpu"})
    thread.start()
    assert going.wait(120)
    run = Run(tmp_path / "run")
    assert run.active() and run.state()["state"] == "running"
    with pytest.raises(InputError, match="This process is training another run already"):
        fit(tiny(), tmp_path / "second", device="cpu")
    assert not (tmp_path / "second").exists()
    for forbidden, verb in ((run.delete, "delete"), (lambda: run.rename("other"), "rename")):
        with pytest.raises(InputError, match=f"still training; stop it before you {verb}"):
            forbidden()
    with pytest.raises(InputError, match="already being trained"), RunWriter(run.folder).locked(resume=True):
        pass
    run.request_stop()
    may_end.set()
    thread.join(120)
    assert run.state()["state"] == "stopped" and run.state()["step"] == 1 and not run.active()


def test_a_time_limit_stops_it_politely(tmp_path, monkeypatch):
    update = vae.training.loop.Trainer.update

    def updating(self):
        update(self)
        if self.step == 3:
            self.stopper.deadline = 0.0

    monkeypatch.setattr(vae.training.loop.Trainer, "update", updating)
    run = fit(tiny(epochs=10_000), tmp_path / "run", device="cpu", max_minutes=5)
    state = run.state()
    assert state["state"] == "stopped" and state["reason"] == "Stopped: the time allowed for a run is over."
    assert run.model_folder().name == f"step-{state['step']:08d}" and state["step"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_learned(whole, tmp_path, monkeypatch, number):
    update = vae.training.loop.Trainer.update

    def interrupted(self):
        if self.step == 7:
            signal.raise_signal(number)
        update(self)

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr(vae.training.loop.Trainer, "update", interrupted)
        run = fit(tiny(), tmp_path / "run", device="cpu")
    assert run.state()["state"] == "stopped" and run.model_folder().name == "step-00000008"
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert untimed(fit(tiny(), run.folder, resume=True, device="cpu")) == untimed(whole)


def test_a_users_own_accelerator_survives_a_training(tmp_path):
    mine = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=3)
    try:
        fit(tiny(epochs=1), tmp_path / "a", device="cpu")
        fit(tiny(epochs=1, precision="bf16"), tmp_path / "b", device="cpu")
        assert mine.mixed_precision == "bf16" and mine.gradient_accumulation_steps == 3
        assert mine.device.type == "cpu" and mine.is_main_process
    finally:
        for state in (mine.state, mine.gradient_state):
            state._shared_state.clear()


def test_progress_is_told_and_a_fresh_name_found(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(vae.training.recorder, "STATE_SECONDS", 0.0)
    told = []
    run = fit(tiny(epochs=1), device="cpu", on_progress=told.append)
    assert run.name == "mnist-vae-001" and new_run_folder("mnist-vae").name == "mnist-vae-002"
    assert [entry["step"] for entry in told[:11]] == list(range(11)) and told[-1]["step"] == told[-1]["steps"] == 10


@pytest.mark.parametrize("kind", ["mnist-ae", "sigma", "l1"])
def test_other_losses_and_the_plain_auto_encoder_learn_too(tmp_path, kind):
    config = tiny(model=tiny().model | {"variational": False}, beta=0.0) if kind == "mnist-ae" else None
    run = fit(config or tiny(reconstruction=kind), tmp_path / "run", device="cpu")
    first, *_, last = [line["val_loss"] for line in run.metrics() if line["kind"] == "epoch"]
    assert last < first
    if kind == "mnist-ae":
        assert all(line["kl"] == 0.0 for line in run.metrics())


@pytest.mark.parametrize(
    ("changes", "named", "words"),
    [
        ({}, {"log_with": "nonsense"}, "tracker 'nonsense' is not known or not installed"),
        ({"precision": "fp16"}, {"device": "cpu"}, "fp16 is for GPUs"),
        ({"accumulate": 1024, "data": "digits"}, {"device": "cpu"}, None),
        ({}, {"device": "cuda:7"}, "not available here"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(tmp_path, changes, named, words):
    if words is None:
        run = fit(tiny(epochs=1, **changes), tmp_path / "run", device="cpu", max_minutes=1)
        assert run.state()["epoch_steps"] == 1
        return
    with pytest.raises(InputError, match=words):
        fit(tiny(**changes), tmp_path / "run", **{"device": "cpu"} | named)
    assert not (tmp_path / "run").exists()


def test_initial_weights_depend_on_the_seed_alone(tmp_path):
    run = fit(tiny(epochs=1, learning_rate=1e-9), tmp_path / "run", device="cpu")
    torch.manual_seed(5)
    model = build(tiny().model)
    saved = weights(run)
    assert all(torch.allclose(saved[name], p, atol=1e-6) for name, p in model.named_parameters())


def test_compiled_blocks_train_as_others_without_a_break_and_validation_leaves_them_alone(tmp_path, monkeypatch):
    compiled = []

    def compile_by(module, **options):
        module._compiled_call_impl = torch.compile(module._call_impl, backend=backend, **options)

    def backend(graph, inputs):  # the compiler's own work takes minutes on a CPU
        compiled.append(torch.is_grad_enabled())
        return graph.forward

    monkeypatch.setattr(torch.nn.Module, "compile", compile_by)
    plain = fit(tiny_kl(epochs=1), tmp_path / "plain", device="cpu")
    run = fit(tiny_kl(epochs=1, compile="on"), tmp_path / "run", device="cpu")
    assert compiled and all(compiled)
    assert [line["loss"] for line in run.metrics()] == pytest.approx(
        [line["loss"] for line in plain.metrics()], rel=1e-3
    )


def test_the_saved_model_says_what_it_was_trained_on_and_how_its_latents_scale(tmp_path):
    run = fit(tiny(epochs=2), tmp_path / "run", device="cpu")
    model = load(run.folder, device="cpu")
    assert model.config.trained_on == "digits"
    x = to_float(load_data("digits", "test", 8, 1).images[:64])
    z = model.encode(x).sample(torch.Generator().manual_seed(0))
    assert scale(model, z).std().item() == pytest.approx(1.0, abs=0.05)
