"""Consent is withdrawn while work is dispatched, for a minute or longer. See benchmarks/README.md."""
