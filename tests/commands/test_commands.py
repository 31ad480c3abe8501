"""Commands that the documents name exit with 0 and print something.

They are in one file because they share a site, and one worker runs a whole file.
"""

import re

import pytest

from marketplace.local.embedded import REPOSITORY
from tests.commands.site import write_reading
from tests.commands.table import BENCHMARKS, COMMANDS, NOT_RUN, SUITES

PAPERS = (
    *("README.md", "CONTRIBUTING.md", "*/README.md", "billing/*/README.md"),
    *("docs/*.md", "docs/decisions/*.md", "requirements/*.md"),
)
NAMED = {
    r"python -m (benchmarks\.\w+)": "{}",
    r"manage\.py ([a-z_]+)": "manage.py {}",
    r"(driveway-verify)\b": "{}",
    r"driveway-agent ([a-z|]+)": "driveway-agent {}",
    r"\b(DRIVEWAY_[A-Z_]+)=\S+ \S*(?:python -m )?pytest": "{}",
    r"(?:`|^)make ([a-z-]+)": "make {}",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs(name, site):
    write_reading(site.home)
    site.run(COMMANDS[name])


@pytest.mark.parametrize("variable", SUITES)
def test_a_long_run_of_the_suite_runs_short(variable, site):
    assert re.search(r"\b[1-9]\d* passed", site.run(SUITES[variable]))


def test_every_command_that_is_named_is_run():
    table = {*BENCHMARKS, *COMMANDS, *SUITES, *NOT_RUN}
    named = named_commands()
    assert named, "no document names a command"
    assert not {f"{name} in {document}" for name, document in named.items() if name not in table}
    assert not set(NOT_RUN) & {*BENCHMARKS, *COMMANDS, *SUITES}


def test_every_benchmark_is_in_the_table():
    folders = {f"benchmarks.{path.parent.name}" for path in REPOSITORY.glob("benchmarks/*/__main__.py")}
    assert folders == set(BENCHMARKS)


def named_commands() -> dict[str, str]:
    """Return each command that a document names -> the last document that names it."""
    commands = {}
    for document in sorted({path for pattern in PAPERS for path in REPOSITORY.glob(pattern)}):
        for pattern, form in NAMED.items():
            for names in re.findall(pattern, document.read_text(), re.MULTILINE):
                for name in names.split("|"):
                    commands[form.format(name)] = document.name
    return commands
