"""Benchmarks without a peer, each with its own site."""

import pytest

from benchmarks.program import SMOKE
from tests.commands.table import BENCHMARKS, WITH_PEER


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in WITH_PEER])
def test_a_benchmark_runs_quickly(name, empty):
    assert SMOKE in empty.run(BENCHMARKS[name])
