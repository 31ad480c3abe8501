"""The Django project: settings, URLs, Celery, privacy and the public pages.

It stands above all apps and exports the Celery app.
"""

from marketplace.celery import app as celery_app

__all__ = ["celery_app"]
