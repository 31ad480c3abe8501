"""The lines of every report that say where and on what it was measured."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil
from django.db import connection

from core.commit import measured_on


def described(*packages: str) -> list[str]:
    """Return lines of a Markdown list: commit and date, machine, versions. Needs the benchmark's database."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgres = cursor.fetchone()[0]
    memory_gib = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return [
        f"- {measured_on()}",
        f"- Machine: {os.cpu_count()} CPUs ({_processor()}), {memory_gib:.0f} GiB, {platform.system()} "
        f"{platform.machine()},"
        f" load {os.getloadavg()[2]:.1f} in the last 15 minutes, ours included",
        f"- Versions: Python {platform.python_version()}, PostgreSQL {postgres}, {versions}",
    ]


def _processor() -> str:
    match = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return match.group(1) if match else platform.processor() or "unknown"
