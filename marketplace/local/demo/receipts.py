"""The owner's receipts, verified by a program that needs no account: whole, with a byte changed, and with one missing."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from marketplace.local.demo.owner import Portal, PortalError
from marketplace.local.demo.report import Report
from marketplace.local.embedded import REPOSITORY

TIMEOUT_S = 60


def verify_receipts(out: Report, portal: Portal, label: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Download all receipts of an owner, and report what `manage.py verify_receipt` finds."""
    answer = portal.client.get("/receipts/")
    if answer.status_code != 200:
        raise PortalError(f"the receipts answered {answer.status_code}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "receipts.jsonld"
    path.write_bytes(answer.content)
    chain = json.loads(answer.content)
    count = len(chain["receipts"])
    code, said = _verify(path, environment)
    out.check(f"{count} receipts of {label}: signed, chained, none missing", code == 0, said)
    code, said = _verify(_changed(folder, answer.content), environment)
    out.check("a changed byte is found", code == 1, said)
    code, said = _verify(_without_one(folder, chain), environment)
    out.check("a missing receipt is found", code == 1, said)


def _changed(folder: Path, content: bytes) -> Path:
    """Return a copy of the receipts in which a withdrawal was changed to look like a consent."""
    path = folder / "changed.jsonld"
    path.write_bytes(content.replace(b'"event_state": "withdrawn"', b'"event_state": "given"', 1))
    return path


def _without_one(folder: Path, chain: dict[str, list[object]]) -> Path:
    path = folder / "gap.jsonld"
    path.write_text(json.dumps({**chain, "receipts": chain["receipts"][:1] + chain["receipts"][2:]}))
    return path


def _verify(path: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run the command that anybody may run. Return its exit code and verdict."""
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_receipt", str(path)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    wrong = [line.split("WRONG", 1)[1].strip() for line in done.stdout.splitlines() if "WRONG" in line]
    return done.returncode, (wrong or done.stdout.splitlines() or [done.stderr.strip()[-200:]])[0 if wrong else -1]
