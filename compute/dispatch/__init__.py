"""Dispatch of work units to nodes: matching, leases and verification.

`matching` and `trust` are pure (no ORM, no clock, no I/O), so simulations can run them unchanged.
"""
