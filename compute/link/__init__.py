"""The link process (`manage.py link`): it writes syncs from NATS to PostgreSQL in batches and sends leases and cancels.

It keeps no state of its own: every fact is a row before it is answered. So it can be killed at any time, and several
copies can run at once.
"""
