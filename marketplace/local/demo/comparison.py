"""Compare the job's result with onnxruntime run in place, and with the labels of the `magika` package."""

import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
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
EVERY = 10  # each tenth file is also given to the package


@dataclass(frozen=True)
class Comparison:
    """What was found. `largest_difference` is absolute, of scores between 0 and 1, over all items; the figures of labels
    are of the items that were sampled.
    """

    largest_difference: float
    is_within_tolerance: bool
    items: int
    sampled: int
    same_model_label: int
    same_tool_label: int
    explained: Counter[str]
    unexplained: int
    table: list[tuple[str, int, str]]


def compare(
    model: MagikaModel, paths: list[Path], features: npt.NDArray[np.int32], result: Floats, *, unit: int, batch: int
) -> Comparison:
    """Compare the result (items x labels) with the reference, and return what was found.

    `unit` and `batch` as the job ran: onnxruntime rounds differently for another batch size.
    """
    reference = run_in_place(model, features, unit=unit, batch=batch)
    labels = [model.labels[index] for index in result.argmax(axis=1)]
    same_model = same_tool = unexplained = 0
    explained: Counter[str] = Counter()
    # The package runs the model once more, file by file: a sample is enough beside the comparison of every row above.
    sample = slice(None, None, EVERY)
    tool = magika.Magika(prediction_mode=PredictionMode.HIGH_CONFIDENCE)
    answers = tool.identify_paths(paths[sample])
    for label, answer in zip(labels[sample], answers, strict=True):
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
        sampled=len(answers),
        same_model_label=same_model,
        same_tool_label=same_tool,
        explained=explained,
        unexplained=unexplained,
        table=_table(labels, paths),
    )


def run_in_place(model: MagikaModel, features: npt.NDArray[np.int32], *, unit: int, batch: int) -> Floats:
    """Return the scores of the customer's own model on the customer's own machine, sliced as the cars slice.

    One thread a run and a run a processor: onnxruntime's own threads spin while they wait, which takes the processor
    from the cars that are still on.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    units = [features[first : first + unit] for first in range(0, len(features), unit)]
    chunks = [rows[first : first + batch] for rows in units for first in range(0, len(rows), batch)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return np.concatenate(list(threads.map(lambda chunk: session.run(None, {name: chunk})[0], chunks)))


def _table(labels: list[str], paths: list[Path]) -> list[tuple[str, int, str]]:
    examples: dict[str, list[str]] = defaultdict(list)
    for label, path in zip(labels, paths, strict=True):
        if len(examples[label]) < 3 and path.name not in examples[label]:
            examples[label].append(path.name)
    counts = Counter(labels).most_common(SHOWN)
    return [(label, count, ", ".join(examples[label])[:60]) for label, count in counts]
