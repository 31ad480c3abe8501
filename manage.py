#!/usr/bin/env python
"""Django's command line. Servers whose *_URL is not set are started from wheels under .driveway/."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    from marketplace.local import embedded

    embedded.provide_for_command(sys.argv[1:])
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
