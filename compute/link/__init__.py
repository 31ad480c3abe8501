"""The link process (`manage.py link`): nodes' syncs from NATS into PostgreSQL in batches, leases and cancels back out.

It owns nothing: every fact is a row before it is answered, so it can be killed at any moment and run in several copies.
"""
