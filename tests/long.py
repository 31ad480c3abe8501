"""Whether this is the long run of the tests, `make test-long`."""

import os

IS_LONG = os.environ.get("DRIVEWAY_LONG") == "1"
