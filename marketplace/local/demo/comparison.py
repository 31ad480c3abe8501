"""Check the job's result against onnxruntime run on this machine, and against the labels of the `magika` package."""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import magika
import numpy as np
import numpy.typing as npt
import onnxruntime
from magika import PredictionMode

from marketplace.local.demo.magika_files import MagikaModel

Floats = npt.NDArray[np.float32]
TOLERANCE = 1e-3  # relative, the same that verification uses between two vehicles
TOLERANCE_OF_SCALE = 1e-5
SHOWN = 12


@dataclass(frozen=True)
class Comparison:
    """`largest_difference` is absolute, of scores between 0 and 1."""

    largest_difference: float
    is_within_tolerance: bool
    items: int
    same_model_label: int
    same_tool_label: int
    explained: Counter[str]
    unexplained: int
    table: list[tuple[str, int, str]]


def compare(
    model: MagikaModel, paths: list[Path], features: npt.NDArray[np.int32], result: Floats, *, unit: int, batch: int
) -> Comparison:
    """Compare the result with the reference. `unit` and `batch` must be the job's: the batch size changes rounding."""
    reference = run_in_place(model, features, unit=unit, batch=batch)
    labels = [model.labels[index] for index in result.argmax(axis=1)]
    same_model = same_tool = unexplained = 0
    explained: Counter[str] = Counter()
    tool = magika.Magika(prediction_mode=PredictionMode.HIGH_CONFIDENCE)
    for label, answer in zip(labels, tool.identify_paths(paths), strict=True):
        same_model += label == str(answer.prediction.dl.label)
        if label == str(answer.prediction.output.label):
            same_tool += 1
        elif label == str(answer.prediction.dl.label):
            explained[str(answer.prediction.overwrite_reason)] += 1
        else:
            unexplained += 1
    scale = float(np.abs(reference).max())
    return Comparison(
        largest_difference=float(np.abs(reference - result).max()),
        is_within_tolerance=bool(np.allclose(result, reference, rtol=TOLERANCE, atol=TOLERANCE_OF_SCALE * scale)),
        items=len(labels),
        same_model_label=same_model,
        same_tool_label=same_tool,
        explained=explained,
        unexplained=unexplained,
        table=_table(labels, paths),
    )


def run_in_place(model: MagikaModel, features: npt.NDArray[np.int32], *, unit: int, batch: int) -> Floats:
    """Run the customer's model on this machine, in the same slices as the cars, and return its outputs."""
    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    units = [features[first : first + unit] for first in range(0, len(features), unit)]
    chunks = [rows[first : first + batch] for rows in units for first in range(0, len(rows), batch)]
    return np.concatenate([session.run(None, {name: chunk})[0] for chunk in chunks])


def _table(labels: list[str], paths: list[Path]) -> list[tuple[str, int, str]]:
    examples: dict[str, list[str]] = defaultdict(list)
    for label, path in zip(labels, paths, strict=True):
        if len(examples[label]) < 3 and path.name not in examples[label]:
            examples[label].append(path.name)
    counts = Counter(labels).most_common(SHOWN)
    return [(label, count, ", ".join(examples[label])[:60]) for label, count in counts]
