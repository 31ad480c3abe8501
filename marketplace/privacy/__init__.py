"""Privacy across all apps: the inventory of data held about owners, its export, its erasure with proof, and retention.

Each app declares its own tables in its `privacy/`; this package joins the declarations.
"""
