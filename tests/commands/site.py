"""`python -m tests.commands.site FOLDER`: fill a migrated database with paid work, and write what commands are shown.

Made by the services of the site: an owner whose car has worked, a statement of it with its package, consent receipts, an operator.
"""

import sys
from pathlib import Path

import django

OPERATOR = "opal@commands.example"
RECORDS, RECEIPTS = "records.zip", "receipts.jsonld"


def main(folder: Path) -> None:
    """Write RECORDS and RECEIPTS into the folder."""
    django.setup()
    from django.utils import timezone

    from accounts.models import User
    from accounts.services import receipts, registration
    from billing import statement_package
    from billing.models import Statement
    from billing.services import statements
    from marketplace.privacy import throwaway

    registration.register_operator(user=User.objects.create_user(OPERATOR, None, name="Opal"))
    owner = throwaway.make(tag="commands").owner
    statements.close_due(until=timezone.now())
    statement = Statement.objects.get(owner=owner)
    (folder / RECORDS).write_bytes(b"".join(statement_package.chunks(statement)))
    (folder / RECEIPTS).write_text(receipts.chain_text(owner))
    print(f"{statement} with its records, and the receipts of {owner}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
