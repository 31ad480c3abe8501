"""A million usage records rolled up and settled. See benchmarks/README.md."""
