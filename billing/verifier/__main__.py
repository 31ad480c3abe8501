import sys

from billing.verifier.cli import main

sys.exit(main())
