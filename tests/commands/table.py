"""Every command that README.md, CONTRIBUTING.md, docs/ and the apps' READMEs name: how it is run here, or why it is not."""

from tests.commands.site import OPERATOR, RECEIPTS, RECORDS

PYTHON, MANAGE = ["python"], ["python", "manage.py"]
NOTICE = (
    "---\npurpose: news\nversion: 2\neffective_at: 2099-01-01T00:00:00+00:00\n---\nNews\n\nIn short.\n\nAt length.\n"
)

# Programs that bring up a site of their own.
BENCHMARKS = {
    f"benchmarks.{name}": [*PYTHON, "-m", f"benchmarks.{name}", "--quick", *more]
    for name, more in {
        "consent_race": [], "dispatch": ["--home", "{home}"], "ledger": [], "settlement": [], "statements": [],
        "withdrawal": [],
    }.items()
}  # fmt: skip

# Commands against the scratch site. Files named NAME.txt are written with the text below.
COMMANDS = {
    "manage.py prove_erasure": [*MANAGE, "prove_erasure"],
    "manage.py retention": [*MANAGE, "retention", "--dry-run"],
    "manage.py check_ledger": [*MANAGE, "check_ledger"],
    "manage.py verify_receipt": [*MANAGE, "verify_receipt", f"{{home}}/{RECEIPTS}"],
    "manage.py close_statements": [*MANAGE, "close_statements", "--until", "now"],
    "manage.py close_invoices": [*MANAGE, "close_invoices", "--until", "now"],
    "manage.py export_tax": [
        *MANAGE, "export_tax", "--year", "2026", "--by", OPERATOR, "--reason", "DAC7 report", "--output", "{home}/tax.csv",
    ],
    "manage.py publish_notice": [*MANAGE, "publish_notice", "{home}/notice.txt"],
    "manage.py send_news": [*MANAGE, "send_news", "{home}/news.txt"],
    "driveway-verify": ["driveway-verify", f"{{home}}/{RECORDS}"],
    "driveway-agent sensors": ["driveway-agent", "sensors", "--sensors", "file:{home}/car.json"],
    "benchmarks.pages": [*PYTHON, "-m", "benchmarks.pages", "--check"],
    "make help": ["make", "help"],
}  # fmt: skip
TEXTS = {"notice.txt": NOTICE, "news.txt": "News\n\nThere are some.\n"}

# Long runs of the suite: variable -> value, and what is run.
SUITES = {
    "DRIVEWAY_KILLS": ("2", [*PYTHON, "-m", "pytest", "-n", "0", "-s", "tests/billing/payouts/test_kill.py"]),
    "DRIVEWAY_MONEY_RUNS": ("2", [*PYTHON, "-m", "pytest", "-n", "0", "tests/billing/machine/test_money.py"]),
}

NOT_RUN = {
    "manage.py migrate": "makes the scratch site of all others",
    "manage.py link": "runs until it is stopped: in `make demo`, benchmarks.dispatch and benchmarks.withdrawal",
    "driveway-agent pair": "needs a person at the portal: tests/compute/agent/test_pair.py",
    "driveway-agent enrol": "in `make demo` and benchmarks.withdrawal",
    "driveway-agent run": "in `make demo` and benchmarks.withdrawal",
    "driveway-agent status": "needs an enrolled car: tests/compute/agent/test_cli.py",
    "driveway-agent key": "needs an enrolled car: tests/compute/agent/test_cli.py",
    "driveway-agent withdraw": "needs a running site: tests/compute/agent/test_cli.py",
    "make demo": "CI runs it by itself",
    "make run": "runs until Ctrl-C",
    "make test": "CI runs it by itself",
    "make test-commands": "is this",
    "make ci": "is what CI runs",
    "make lint": "CI runs it by itself",
    "make types": "CI runs it by itself",
    "make layers": "CI runs it by itself",
    "make migrations": "CI runs it by itself",
    "make lock": "asks package indexes for new versions",
}
