"""Every command that the documents name: how the tests run it, or why they do not.

The documents are README.md, CONTRIBUTING.md, docs/ and the apps' READMEs.
"""

from tests.commands.site import NEWS, NOTICE, OPERATOR, READING, RECEIPTS, RECORDS

# Programs that start a site of their own.
BENCHMARKS = {
    f"benchmarks.{name}": f"python -m benchmarks.{name} --quick"
    for name in ("withdrawal", "ledger", "settlement", "statements", "consent_race", "erasure")
} | {"benchmarks.dispatch": "python -m benchmarks.dispatch --quick --home {home}"}

WITH_PEER = ("benchmarks.ledger", "benchmarks.settlement")

# Commands in the scratch site, whose folder is {home}.
COMMANDS = {
    "manage.py retention": "python manage.py retention --dry-run",
    "manage.py check_ledger": "python manage.py check_ledger",
    "manage.py verify_receipt": f"python manage.py verify_receipt {{home}}/{RECEIPTS}",
    "manage.py close_statements": "python manage.py close_statements --until now",
    "manage.py close_invoices": "python manage.py close_invoices --until now",
    "manage.py export_tax": (
        f"python manage.py export_tax --year 2026 --by {OPERATOR} --reason 'DAC7 report' --output {{home}}/tax.csv"
    ),
    "manage.py publish_notice": f"python manage.py publish_notice {{home}}/{NOTICE}",
    "manage.py send_news": f"python manage.py send_news {{home}}/{NEWS}",
    "driveway-verify": f"driveway-verify {{home}}/{RECORDS}",
    "driveway-agent sensors": f"driveway-agent sensors --sensors file:{{home}}/{READING}",
    "benchmarks.pages": "python -m benchmarks.pages --check",
    "make help": "make help",
}

# Long runs of the suite: the variable that sets their length -> the command of a short run.
SUITES = {
    "DRIVEWAY_KILLS": "env DRIVEWAY_KILLS=2 python -m pytest -n 0 -s tests/billing/payouts/test_kill.py",
    "DRIVEWAY_MONEY_RUNS": "env DRIVEWAY_MONEY_RUNS=2 python -m pytest -n 0 tests/billing/machine/test_money.py",
}

NOT_RUN = {
    "manage.py migrate": "creates the scratch site of all other commands",
    "manage.py link": "runs until it is stopped; `make demo`, benchmarks.dispatch and benchmarks.withdrawal run it",
    "driveway-agent pair": "needs a person at the portal: tests/compute/agent/commands/test_pairing.py",
    "driveway-agent enrol": "`make demo` and benchmarks.withdrawal run it",
    "driveway-agent run": "`make demo` and benchmarks.withdrawal run it",
    "driveway-agent status": "needs an enrolled car: tests/compute/agent/commands/test_cli.py",
    "driveway-agent key": "needs an enrolled car: tests/compute/agent/commands/test_cli.py",
    "driveway-agent withdraw": "needs a running site: tests/compute/agent/commands/test_cli.py",
    "make demo": "tests/commands/test_demo.py runs the program that it starts after the installation",
    "make run": "tests/commands/test_run.py runs the program that it starts after the installation",
    "benchmarks.screenshots": "needs a site that runs: tests/commands/test_run.py",
    "make test": "CI runs it as a step",
    "make test-long": "CI runs it as a step",
    "make test-busy": "CI runs it as a step",
    "make test-clock": "runs the whole suite; a person starts it where faketime is installed",
    "make test-commands": "is the run of these tests",
    "make ci": "is what CI runs",
    "make lint": "CI runs it as a step",
    "make types": "CI runs it as a step",
    "make layers": "CI runs it as a step",
    "make migrations": "CI runs it as a step",
    "make lock": "asks package indexes for new versions",
}
