"""The command line, run in this process by `main`; one subprocess checks what only a new process can show."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from vae.checkpoints.store import save
from vae.cli import main
from vae.models import build
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save(build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1)), folder)
    return str(folder)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "digit.png"
    Image.linear_gradient("L").resize((28, 28)).save(path)
    return str(path)


@pytest.fixture
def vae(monkeypatch, capsys):
    """Runs a command: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vae", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main.main()
            raise SystemExit(0)
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run


def test_help_is_instant_for_it_imports_nothing_heavy():
    code = "import sys; sys.argv = ['vae', 'train', '--help']\n" + (
        "from vae.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'gradio', 'numpy', 'PIL', 'accelerate'} & set(sys.modules)\nprint('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout and "--epochs" in done.stdout


def test_info(vae, model):
    code, out, _ = vae("info", model, "--json", "--device", "cpu")
    facts = json.loads(out)
    assert code == 0
    assert facts["latent_shape"] == [2, 4, 4] and facts["image_size"] == 16 and facts["priors"][0] == "normal"
    assert facts["parameters"] == build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1)).parameter_count
    assert "latent_shape" in vae("info", model)[1]


def test_reconstruct_one_and_several(vae, model, picture, tmp_path):
    code, out, _ = vae("reconstruct", model, picture, "-o", tmp_path / "out.png", "--json")
    (row,) = json.loads(out)
    assert code == 0 and Image.open(tmp_path / "out.png").size == (16, 16) and row["psnr"] > 0
    code, out, _ = vae(
        "reconstruct", model, picture, picture, "-o", tmp_path / "many", "--sample", "--seed", "3", "--json"
    )
    assert code == 0 and [r["seed"] for r in json.loads(out)] == [3, 3]
    assert len(list((tmp_path / "many").glob("*.png"))) == 2


def test_sample_is_repeatable(vae, model, tmp_path):
    for name in ("a.png", "b.png"):
        assert vae("sample", model, "-n", "9", "--seed", "4", "-o", tmp_path / name)[0] == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").size == (3 * 18 - 2, 3 * 18 - 2)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".mp4"])
def test_interpolate_from_a_picture_to_a_seed(vae, model, picture, tmp_path, suffix):
    output = tmp_path / f"morph{suffix}"
    code, out, err = vae("interpolate", model, picture, "7", "--steps", "5", "--mode", "slerp", "-o", output, "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 5 and output.stat().st_size > 100
    if suffix == ".gif":
        gif = Image.open(output)  # like frames in a row are stored as one that stays longer
        played = 0
        for number in range(gif.n_frames):
            gif.seek(number)
            played += gif.info["duration"]
        assert played == pytest.approx(5 / 12 * 1000, abs=10)


def test_interpolate_in_a_circle_and_between_four(vae, model, picture, tmp_path):
    output = tmp_path / "loop.png"
    code, _, err = vae("interpolate", model, picture, "7", "8", "--steps", "4", "-o", output)
    assert code == 0 and Image.open(output).size == (12 * 18 - 2, 16), err
    code, _, err = vae("interpolate", model, "5", "6", "7", "8", "--grid", "--steps", "3", "--scale", "2", "-o", output)
    assert code == 0 and Image.open(output).size == (96, 96), err
    vae("interpolate", model, "5", "7", "--steps", "3", "-o", tmp_path / "side.png")
    corner = Image.open(output).crop((0, 64, 32, 96)).resize((16, 16), Image.Resampling.NEAREST)
    assert corner.tobytes() == Image.open(tmp_path / "side.png").crop((36, 0, 52, 16)).tobytes()


def test_refused_priors_are_named_wherever_one_needs_them(vae, tmp_path):
    """Priors that were fitted to other weights than those they lie beside."""
    folder = tmp_path / "model"
    for _ in range(2):
        save(build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1, variational=False)), folder)
        if not (folder / "priors.safetensors").exists():
            assert vae("fit-prior", folder, "--data", "digits", "--prior", "gaussian")[0] == 0
    facts = json.loads(vae("info", folder, "--json")[1])
    assert facts["priors"] == ["normal"] and "another checkpoint" in facts["priors_refused"]
    for command in (["sample", folder, "--prior", "gaussian"], ["interpolate", folder, "1", "2", "--mode", "prior"]):
        code, _, err = vae(*command, "-o", tmp_path / "out.png")
        assert code == 2 and "priors.safetensors belongs to another checkpoint" in err and "fit-prior" in err
    assert not (tmp_path / "out.png").exists()


def test_pictures_held_out_in_training_are_held_out_in_measuring(vae, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(8):
        Image.new("L", (32, 32), 30 * i).save(folder / f"{i}.png")
    for size, count in ((0.25, 2), (0.5, 4)):
        code, out, _ = vae("evaluate", "mnist-vae", "--data", folder, "--test-size", size, "--json")
        assert code == 0 and json.loads(out)["images"] == count


def test_a_model_of_any_size_is_evaluated_at_the_size_asked_for(vae, tmp_path):
    config = KLConfig(sample_size=16, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1)
    save(build(config), tmp_path / "ours")
    (tmp_path / "pictures").mkdir()
    for i in range(5):
        Image.linear_gradient("L").rotate(40 * i).convert("RGB").save(tmp_path / "pictures" / f"{i}.png")
    command = ("evaluate", tmp_path / "ours", "--data", tmp_path / "pictures", "--split", "all", "--json")
    rows = [
        json.loads(vae(*command, *more)[1]) for more in ((), ("--size", "24"), ("--size", "24", "--metrics", "psnr"))
    ]
    assert [row["size"] for row in rows] == [16, 24, 24] and rows[1]["latent_dimensions"] == 4 * 12 * 12
    assert rows[1]["psnr"] == pytest.approx(rows[2]["psnr"], abs=1e-3) != rows[0]["psnr"]
    code, _, err = vae(*command, "--size", "25")
    assert code == 2 and "multiples of 2" in err and "25x25 pixels" in err
    code, _, err = vae(*command, "--size", "24", "--generation")
    assert code == 2 and "leave out --size" in err


def test_train_evaluate_and_use_what_was_trained(vae, tmp_path):
    run = tmp_path / "runs" / "one"
    code, out, err = vae("train", "--data", "digits", "--epochs", "1", "--run", run, "--device", "cpu", "--json")
    assert code == 0, err
    figures = json.loads(out)
    assert figures["state"] == "finished" and figures["epoch"] == 1 and figures["val_loss"] > 0
    code, out, _ = vae("evaluate", run, "--data", "digits", "--split", "test", "--device", "cpu", "--json")
    measured = json.loads(out)
    assert code == 0 and measured["images"] == 360 and measured["loss"] == pytest.approx(figures["val_loss"], rel=0.05)
    assert measured["loss"] == pytest.approx(measured["reconstruction"] + measured["kl"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "no-such-model"],
        ["sample", "MODEL", "-n", "0"],
        ["sample", "MODEL", "-n", "-1"],
        ["sample", "MODEL", "--prior", "flow"],
        ["sample", "MODEL", "-o", "grid.jpg"],
        ["sample", "MODEL", "-o", "no/such/folder/grid.png"],
        ["reconstruct", "MODEL", "missing.png", "-o", "out.png"],
        ["interpolate", "MODEL", "1", "2", "--steps", "1"],
        ["interpolate", "MODEL", "1", "2", "--mode", "bezier"],
        ["interpolate", "MODEL", "1", "2", "--mode", "prior"],
        ["interpolate", "MODEL", "1"],
        ["interpolate", "MODEL", "1", "2", "3", "--grid", "-o", "grid.png"],
        ["interpolate", "MODEL", "1", "2", "3", "4", "--grid", "-o", "grid.gif"],
        ["train", "--preset", "vgg"],
        ["train", "--data", "no-such-data"],
        ["train", "--epochs", "-3"],
        ["train", "--learning-rate", "1e9"],
        ["evaluate", "MODEL", "--data", "digits", "--split", "validation"],
        ["info", "MODEL", "--device", "abacus"],
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(vae, model, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, out, err = vae(*[model if a == "MODEL" else a for a in arguments])
    assert code == 2 and out == ""
    assert err.startswith("Error: ") and err.count("\n") == 1 and "Traceback" not in err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_broken_picture_among_good_ones_leaves_nothing(vae, model, picture, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    code, _, err = vae("reconstruct", model, picture, bad, "-o", tmp_path / "out")
    assert code == 2 and "bad.png" in err and not (tmp_path / "out").exists()


def test_of_a_folder_a_broken_picture_is_left_out_and_the_rest_kept(vae, model, picture, tmp_path):
    folder = tmp_path / "pictures"
    for name in ("b/one", "a/one", "a/two"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(Path(picture).read_bytes())
    (folder / "a" / "bad.png").write_bytes(b"not a picture")
    vae("reconstruct", model, picture, "-o", tmp_path / "alone.png")
    code, out, err = vae("reconstruct", model, folder, "-o", tmp_path / "out", "--json")
    rows = json.loads(out)
    assert code == 0 and [Path(row["image"]).relative_to(folder).as_posix() for row in rows] == [
        "a/one.png",
        "a/two.png",
        "b/one.png",
    ]
    assert err.startswith("1 image could not be used and was left out: ") and "bad.png is not a picture" in err
    assert [Path(row["output"]).name for row in rows] == ["one.png", "two.png", "one-2.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one-2.png", "one.png", "two.png"]
    for row in rows:
        assert Image.open(row["output"]).tobytes() == Image.open(tmp_path / "alone.png").tobytes()
    for path in (folder / "a").iterdir():
        path.write_bytes(b"neither")
    (folder / "b" / "one.png").write_bytes(b"nor this")
    code, out, err = vae("reconstruct", model, folder, "-o", tmp_path / "other")
    assert code == 2 and "None of the 4 images" in err and "Traceback" not in err
    assert not (tmp_path / "other").exists()


def test_export_opens_in_diffusers_with_the_same_weights(vae, tmp_path):
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    ours = build(KLConfig(sample_size=16, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1))
    save(ours, tmp_path / "ours")
    code, out, err = vae("export", tmp_path / "ours", "--format", "diffusers", tmp_path / "theirs", "--json")
    assert code == 0, err
    theirs = AutoencoderKL.from_pretrained(json.loads(out)["folder"]).state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.state_dict().items())
    assert vae("export", tmp_path / "ours", "--format", "gguf", tmp_path / "other")[0] == 2
