"""The customer's side of the demo: real files of this machine, and Magika's features and labels for them.

Features as Magika's README and config.min.json define them: up to `block_size` bytes are read at each end of the file,
white space is stripped from the outer side, the first `beg_size` and last `end_size` bytes are taken, `padding_token`
fills what is missing.
"""

import json
import os
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import magika
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class MagikaModel:
    """The model that the PyPI package ships, and its config."""

    path: Path
    config: dict[str, Any]

    @classmethod
    def shipped(cls) -> "MagikaModel":
        folder = sorted((Path(magika.__file__).parent / "models").glob("*/model.onnx"))[-1].parent
        return cls(folder / "model.onnx", json.loads((folder / "config.min.json").read_text()))

    @property
    def labels(self) -> list[str]:
        return list(self.config["target_labels_space"])

    def features(self, path: Path) -> npt.NDArray[np.int32] | None:
        """int32 [beg_size + end_size], or None when the file has too few meaningful bytes for the model."""
        config, size = self.config, path.stat().st_size
        if size < config["min_file_size_for_dl"]:
            return None
        with path.open("rb") as file:
            begin = file.read(config["block_size"]).lstrip()[: config["beg_size"]]
            file.seek(max(0, size - config["block_size"]))
            end = file.read(config["block_size"]).rstrip()[-config["end_size"] :]
        if len(begin) < config["min_file_size_for_dl"]:
            return None
        row = np.full(config["beg_size"] + config["end_size"], config["padding_token"], dtype=np.int32)
        row[: len(begin)] = np.frombuffer(begin, dtype=np.uint8)
        if end:
            row[-len(end) :] = np.frombuffer(end, dtype=np.uint8)
        return row


def collect(model: MagikaModel, wanted: int) -> tuple[list[Path], npt.NDArray[np.int32]]:
    """Return about `wanted` files of the Python installation, of as many kinds as there are, with their features."""
    paths, rows = [], []
    for path in _by_kind_in_turn():
        try:
            row = model.features(path)
        except OSError:
            continue
        if row is not None:
            paths.append(path)
            rows.append(row)
        if len(paths) == wanted:
            break
    return paths, np.stack(rows)


def _by_kind_in_turn() -> Iterator[Path]:
    """Yield one file of each suffix, then another of each, ... so that rare kinds come first."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(_files()):
        kinds[path.suffix.lower()].append(path)
    rounds: Iterable[tuple[Path | None, ...]] = zip_longest(*kinds.values())
    return (path for path in chain.from_iterable(rounds) if path is not None)


def _files() -> Iterator[Path]:
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")} | {Path(sys.prefix) / "bin"}
    for top in folders:
        for folder, subfolders, names in os.walk(top):
            subfolders[:] = [name for name in subfolders if name != "__pycache__"]
            paths = (Path(folder, name) for name in names)
            yield from (path for path in paths if path.is_file() and not path.is_symlink())
