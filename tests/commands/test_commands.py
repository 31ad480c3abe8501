"""Commands that the papers name end with 0 and print something."""

import re

import pytest

from benchmarks.program import SMOKE
from marketplace.embedded import REPOSITORY
from tests.commands.site import write_reading
from tests.commands.table import BENCHMARKS, COMMANDS, NOT_RUN, SUITES, WITH_PEER

PAPERS = ("README.md", "CONTRIBUTING.md", "*/README.md", "docs/*.md", "requirements/*.md")
NAMED = {
    r"python -m (benchmarks\.\w+)": "{}",
    r"manage\.py ([a-z_]+)": "manage.py {}",
    r"(driveway-verify)\b": "{}",
    r"driveway-agent ([a-z|]+)": "driveway-agent {}",
    r"\b(DRIVEWAY_[A-Z_]+)=\S+ \S*(?:python -m )?pytest": "{}",
    r"(?:`|^)make ([a-z-]+)": "make {}",
}


# Two at a time: what shares a scratch site, and what installs the same peer on first use, stays together.
in_the_site = pytest.mark.xdist_group("site")
beside_hordak = pytest.mark.xdist_group("hordak")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=beside_hordak if name in WITH_PEER else ()) for name in BENCHMARKS]
)
def test_a_benchmark_runs_quickly(name, empty):
    assert SMOKE in empty.run(BENCHMARKS[name])


@in_the_site
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs(name, site):
    write_reading(site.home)
    site.run(COMMANDS[name])


@in_the_site
@pytest.mark.parametrize("variable", SUITES)
def test_a_long_run_of_the_suite_runs_short(variable, site):
    assert re.search(r"\b[1-9]\d* passed", site.run(SUITES[variable]))


def test_every_command_that_is_named_is_run():
    table = {*BENCHMARKS, *COMMANDS, *SUITES, *NOT_RUN}
    named = named_commands()
    assert named, "no paper names a command"
    assert not {f"{name} in {paper}" for name, paper in named.items() if name not in table}
    assert not set(NOT_RUN) & {*BENCHMARKS, *COMMANDS, *SUITES}


def test_every_benchmark_is_in_the_table():
    folders = {f"benchmarks.{path.parent.name}" for path in REPOSITORY.glob("benchmarks/*/__main__.py")}
    assert folders == set(BENCHMARKS)


def named_commands() -> dict[str, str]:
    """Return each command that a paper names, and the last paper that does."""
    found = {}
    for paper in sorted({path for pattern in PAPERS for path in REPOSITORY.glob(pattern)}):
        for pattern, form in NAMED.items():
            for words in re.findall(pattern, paper.read_text(), re.MULTILINE):
                for word in words.split("|"):
                    found[form.format(word)] = paper.name
    return found
