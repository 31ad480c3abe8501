"""Find the machine's Chromium, for pictures of pages and for the tests of pages."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str | None:
    """Return the path of the machine's Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def launch_arguments() -> list[str]:
    """Return what Chromium is started with: it refuses its own sandbox to root."""
    return ["--no-sandbox"] if os.geteuid() == 0 else []
