"""`make run` without the installation, on a machine where nothing runs yet: it fills with life, survives, and stops."""

import os
import re
import signal
import subprocess
import sys

from benchmarks import browser
from marketplace.local import embedded
from tests.waiting import until

PATIENCE_S = 600.0  # people, a month, four enrolments and a job, on a machine that does other things


def test_the_site_comes_to_life_and_adds_up(empty):
    process = subprocess.Popen(
        [sys.executable, "-m", "marketplace.local"],
        cwd=embedded.REPOSITORY,
        env=empty.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if "The cars are on" in line:
                break
        text = "".join(printed)
        assert re.search(r"Driveway runs at http://127\.0\.0\.1:\d+", text), text
        assert "carla@demo.example" in text
        assert re.search(r"34 days, \d+ jobs", text), text
        log = empty.home / "log" / "customer.log"
        until(lambda: log.exists() and " completed" in log.read_text(), what="a job", within_s=PATIENCE_S)
        _pictures(empty, re.search(r"http://127\.0\.0\.1:\d+", text).group())
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, rest
        assert "Everything stopped" in rest
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)
    empty.run("python manage.py check_ledger")  # ends with 1 if anything differs


def _pictures(empty, url):
    """Take the README's pictures, where there is a Chromium."""
    if browser.executable():
        empty.run(f"python -m benchmarks.screenshots {url} --out {empty.home}/img")
        assert {path.name for path in (empty.home / "img").iterdir()} == {"owner.png", "customer.png"}
