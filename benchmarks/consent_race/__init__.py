"""Withdrawing while dispatching, for a minute and more. See benchmarks/README.md."""
