"""What CONTRIBUTING.md claims of the code's shape. The floors are import-linter's (`make layers`)."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
APPS = ("accounts", "billing", "compute", "core", "marketplace")
DOORS = ("views", "api", "admin")
FILE_LINES, FUNCTION_LINES, POSITIONAL = 400, 70, 6
# Rooms whose public functions are services: other rooms and doors call them.
NOUNS = {
    "accounts": "access api_keys consents mails organizations owners policies receipts vehicles",
    "billing": "approvals chargebacks disputes documents earnings invoices ledger orders payouts rates records refunds "
    "statements stripe topups usage wallet",
    "compute": "artifacts dispatch jobs nats nodes sync",
}
WRITES = {"save", "create", "bulk_create", "bulk_update", "get_or_create", "update_or_create", "delete", "update"}


def files(*folders: str) -> list[Path]:
    """Return the Python files under these folders of the repository, migrations left out."""
    found = (path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))
    return sorted(path for path in found if "migrations" not in path.parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def named(path: Path, node: ast.AST | None = None) -> str:
    line = f":{node.lineno}" if node is not None and hasattr(node, "lineno") else ""
    return f"{path.relative_to(REPOSITORY)}{line}"


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_are_short():
    long = [named(path) for path in files(*APPS) if len(path.read_text().splitlines()) > FILE_LINES]
    assert long == []


def test_functions_are_short_and_take_few_arguments_by_position():
    long, wide = [], []
    for path in files(*APPS):
        for node in functions(path):
            if node.end_lineno - node.lineno + 1 > FUNCTION_LINES:
                long.append(f"{named(path, node)} {node.name}")
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            if len([name for name in names if name not in ("self", "cls")]) > POSITIONAL:
                wide.append(f"{named(path, node)} {node.name}")
    assert (long, wide) == ([], [])


def test_no_float_holds_money():
    """In billing there is no float at all, but in the layout of PDFs and in waiting times (names that end in _S or _s)."""
    found = []
    for path in files("billing"):
        if path.parent.name == "documents":
            continue
        for node in ast.walk(parsed(path)):
            is_literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
            if (is_literal and not is_seconds(path, node)) or is_call:
                found.append(named(path, node))
    assert found == []


def is_seconds(path: Path, node: ast.AST) -> bool:
    line = path.read_text().splitlines()[node.lineno - 1]
    return any(word.lower().endswith("_s") or word.lower() == "timeout" for word in line.replace("=", " ").split())


@pytest.mark.parametrize("app", APPS)
def test_doors_write_nothing(app: str):
    """Views, the API and the back office call services. Sessions, forms and caches are theirs to change."""
    found = []
    for path in files(*(f"{app}/{door}" for door in DOORS)):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
                target = ast.unparse(node.func.value)
                if ".objects" in target:
                    found.append(f"{named(path, node)} {ast.unparse(node.func)}")
    assert found == []


def test_only_the_gateway_imports_stripes_sdk():
    found = []
    for path in files(*APPS):
        if "billing/stripe/gateway" in path.as_posix():
            continue
        for node in ast.walk(parsed(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found += [named(path, node) for name in names if name.split(".")[0] == "stripe"]
    assert found == []


def test_there_are_no_signals():
    found = [
        named(path, node)
        for path in files(*APPS)
        for node in functions(path)
        for decorator in node.decorator_list
        if "receiver" in ast.unparse(decorator)
    ]
    assert found == []


def test_the_formatter_decides():
    mark = "fmt: " + "skip"
    assert [named(path) for path in files(*APPS, "tests", "benchmarks") if mark in path.read_text()] == []


@pytest.mark.parametrize("app", NOUNS)
def test_public_services_have_docstrings(app: str):
    found = []
    for path in files(*(f"{app}/{noun}" for noun in NOUNS[app].split())):
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                found.append(f"{named(path, node)} {node.name}")
    assert found == []
