"""Transfers posted per second, and a million usage records settled, beside django-hordak 2.0 on the same PostgreSQL."""
