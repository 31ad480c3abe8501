"""Units per second through the whole path, beside Celery + Redis no-op tasks in the same interleaved run."""
