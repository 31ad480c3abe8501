"""Run a command beside busy loops, as on a slow machine: `python -m tests.busy --loops 2 -- COMMAND`.

Exits with the command's exit code. The loops end with this process, however it ends.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# A loop ends by itself if its parent was killed.
LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def loops(count: int) -> Iterator[None]:
    """Keep `count` processors busy for the length of the block."""
    running = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.busy", description=__doc__)
    parser.add_argument("--loops", type=int, default=os.cpu_count(), help="busy processes (default: one per processor)")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    with loops(options.loops):
        print(f"beside {options.loops} busy loops: {' '.join(options.command)}", flush=True)
        return subprocess.run(options.command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
