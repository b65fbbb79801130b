"""Where a run folder has its checkpoints."""

from pathlib import Path

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def complete_checkpoints(run: Path) -> list[Path]:
    """The complete checkpoint folders of a run folder, oldest first; none for any other folder."""
    found = (run / "checkpoints").glob("step-*")
    return sorted(folder for folder in found if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file())
