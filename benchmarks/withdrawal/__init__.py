"""From the owner's click to the last instruction on the vehicle. See benchmarks/README.md."""
