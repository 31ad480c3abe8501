"""Run `driveway-verify` as `python -m billing.verifier`."""

import sys

from billing.verifier.cli import main

sys.exit(main())
