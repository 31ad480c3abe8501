"""`pytest --slowest-third` runs the third of the tests that took longest before."""

from types import SimpleNamespace

import pytest

from tests import slowest


def kept(tests: list[str], took: dict[str, float], *, asked: bool = True) -> list[str]:
    """Return the tests that run. `took` are their times in seconds; `asked` is the option --slowest-third."""
    items = [SimpleNamespace(nodeid=test) for test in tests]
    config = SimpleNamespace(
        cache=SimpleNamespace(get=lambda key, default: took),
        getoption=lambda name: asked,
        hook=SimpleNamespace(pytest_deselected=lambda items: None),
    )
    slowest.pytest_collection_modifyitems(config, items)
    return [item.nodeid for item in items]


TOOK = {"a": 0.1, "b": 3.0, "c": 0.2, "d": 2.0, "e": 0.3, "f": 0.4}


@pytest.mark.parametrize(
    ("tests", "took", "expected"),
    [
        ("abcdef", TOOK, "bd"),
        ("abcnde", TOOK, "bn"),  # n has no time: it is new
        ("abc", {}, "abc"),
    ],
)
def test_the_slowest_third_is_left(tests, took, expected):
    assert kept(list(tests), took) == list(expected)


def test_all_are_left_unless_asked():
    assert kept(list(TOOK), TOOK, asked=False) == list(TOOK)


def test_the_phases_of_a_test_are_added_up_and_kept_of_whole_runs_only():
    saved = []
    option = SimpleNamespace(slowest_third=False, keyword="", markexpr="")
    config = SimpleNamespace(
        option=option,
        args_source=SimpleNamespace(name="TESTPATHS"),
        cache=SimpleNamespace(set=lambda key, value: saved.append(value)),
    )
    times = slowest.Durations(config)
    for phase in (0.25, 0.5, 0.25):
        times.pytest_runtest_logreport(SimpleNamespace(nodeid="tests/a.py::b", duration=phase))
    option.keyword = "b"
    times.pytest_sessionfinish(None)
    option.keyword = ""
    times.pytest_sessionfinish(None)
    assert saved == [{"tests/a.py::b": 1.0}]
