"""The owner's rules for a car: validation, presets, a description in plain words, the editor's form.

Only `service` writes to the database and reads the clock.
"""
