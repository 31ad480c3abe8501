"""Run the command line of the agent: `python -m compute.agent`."""

import sys

from compute.agent.commands.cli import main

sys.exit(main())
