"""The owner's rules as pure code: what is valid, the presets, and what the rules say in plain words. No database, no clock."""
