"""Benchmarks: measurements of the product, some side by side with a peer. They are not installed with the product."""
