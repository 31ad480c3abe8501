"""`python -m benchmarks.erasure`: see benchmarks/README.md."""

from __future__ import annotations

import sys

from benchmarks import program


def main() -> int:
    """Erase a made-up owner, print the report and return the exit code."""
    options = program.parse(
        program.parser("erasure", quick="the same, since it takes seconds", out="docs/erasure-proof.md")
    )

    def measure() -> tuple[str, bool]:
        from benchmarks.erasure.proof import prove  # needs Django

        return prove()

    return program.run(measure, options, connections=10)


if __name__ == "__main__":
    sys.exit(main())
