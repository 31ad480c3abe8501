"""The project package: wiring on top, the shared kernel in `core` below. Exports the Celery app, nothing else."""

from marketplace.celery import app as celery_app

__all__ = ["celery_app"]
