"""The vehicle agent: it enforces the owner's rules, runs leased work units in a sandbox and reports the results."""
