"""Run folders: where `train` writes and where the other verbs find the newest checkpoint."""

import json
from pathlib import Path

CHECKPOINT = "model.safetensors"
METRICS = "metrics.jsonl"
RUNS = Path("runs")


def new_folder(network, data):
    """A new folder runs/NETWORK-DATA-NNN, with the lowest number above all there are."""
    stem = f"{network}-{data}-"
    taken = [path.name.removeprefix(stem) for path in RUNS.glob(f"{stem}*")]
    number = max((int(text) for text in taken if text.isdigit()), default=0) + 1
    while True:
        folder = RUNS / f"{stem}{number:03d}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def newest_checkpoint():
    """The checkpoint written last below runs/.

    Raises
    ------
    FileNotFoundError
        When there is none, saying how to make one.
    """
    found = [path for path in RUNS.glob(f"*/{CHECKPOINT}") if path.is_file()]
    if not found:
        raise FileNotFoundError(f"no checkpoint below {RUNS}/: run `cconv train` first, or name one with --checkpoint")
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def checkpoint_path(path):
    """`path`, or the checkpoint inside it when it is a run folder."""
    path = Path(path)
    return path / CHECKPOINT if path.is_dir() else path


def records(folder):
    """The metrics of a run as lists by name, in the order of the epochs."""
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return {name: [line[name] for line in lines] for name in lines[-1]}
