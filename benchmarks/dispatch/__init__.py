"""Units per second through the whole path, compared with no-op tasks of Celery + Redis in the same interleaved run."""
