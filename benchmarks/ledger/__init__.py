"""Transfers posted per second, compared with django-hordak 2.0 on the same PostgreSQL."""
