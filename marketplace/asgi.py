"""The ASGI application that a web server runs: `marketplace.asgi:application`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

from django.core.asgi import get_asgi_application

application = get_asgi_application()
