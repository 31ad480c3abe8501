"""The life in the site of `make run`: made-up people, a made-up month, and simulated cars that really compute.

- `python -m marketplace.local.showcase` prepares it, once or again: people, the month before today (`history/`), cars.
- `cars.py` names the processes of the cars, `python -m marketplace.local.showcase.orders` is the customer's program.
- `label.py` says on every page, document and mail that this is a demonstration.
- None of these people is one of `make demo`, whose figures stay all real.
"""
