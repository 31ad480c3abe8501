"""`python -m compute.agent`."""

import sys

from compute.agent.cli import main

sys.exit(main())
