"""A million usage records are settled and rolled up. See benchmarks/README.md."""
