"""Benchmarks beside django-hordak. They run one after the other, because the first one installs it."""

import pytest

from benchmarks.program import SMOKE
from tests.commands.table import BENCHMARKS, WITH_PEER


@pytest.mark.parametrize("name", WITH_PEER)
def test_a_benchmark_with_a_peer_runs_quickly(name, empty):
    assert SMOKE in empty.run(BENCHMARKS[name])
