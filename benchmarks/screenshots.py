"""`python -m benchmarks.screenshots URL`: take the README's two pictures from the site that `make run` keeps up.

URL is the address that `make run` printed; it must run from the same home folder, whose passwords are used.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

from benchmarks import browser
from marketplace.local.demo import store
from marketplace.local.embedded import REPOSITORY
from marketplace.local.showcase.sign_ins import CUSTOMER, OWNERS

SIZE = {"width": 1200, "height": 1000}
MAX_BYTES = 150_000
# File name -> the person and the page.
PICTURES = {"owner": (next(iter(OWNERS)), "/earnings/"), "customer": (CUSTOMER, "/jobs/")}


class ScreenshotError(Exception):
    """No picture was made; the message says why."""


def take(site: str, folder: Path) -> None:
    """Write the pictures into the folder. Raises ScreenshotError, and playwright's Error when a page does not answer."""
    chromium = browser.executable()
    if chromium is None:
        raise ScreenshotError("There is no Chromium on this machine: install the package `chromium`.")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=browser.launch_arguments())
        for name, (email, path) in PICTURES.items():
            picture = _picture(launched, site, email, path)
            if len(picture) > MAX_BYTES:
                raise ScreenshotError(f"{name}.png has {len(picture):,} bytes; {MAX_BYTES:,} are allowed.")
            (folder / f"{name}.png").write_bytes(picture)
            print(f"{folder / name}.png: {path} as {email}, {len(picture):,} bytes")


def _picture(launched: Browser, site: str, email: str, path: str) -> bytes:
    password = store.load().get("passwords", {}).get(email)
    if password is None:
        raise ScreenshotError(f"{email} is not known in this home folder: start `make run` here first.")
    page = launched.new_context(viewport=SIZE, locale="en-US").new_page()
    page.goto(f"{site}/accounts/login/")
    page.fill("[name=login]", email)
    page.fill("[name=password]", password)
    page.click("main [type=submit]")
    page.wait_for_url(lambda url: "/accounts/login/" not in url)
    page.goto(f"{site}{path}", wait_until="networkidle")
    return page.screenshot()


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshots", description=__doc__)
    parser.add_argument("site", metavar="URL", help="the address that `make run` printed")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs/img", help="the folder (docs/img)")
    options = parser.parse_args()
    try:
        take(options.site.rstrip("/"), options.out)
    except (ScreenshotError, Error) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
