"""A template context processor: the part of the site that a page belongs to. The header marks it as the current one."""

from django.http import HttpRequest

# First segment of the path -> part. The header calls the part "money" "Wallet" for customers and "Earnings" for owners.
PARTS = {
    "wallet": "money",
    "usage": "money",
    "invoices": "money",
    "earnings": "money",
    "statements": "money",
    "payouts": "money",
    "disputes": "money",
    "pair": "vehicles",
}


def part(request: HttpRequest) -> dict[str, str]:
    """Return {"part": name}: the part from PARTS, else the first segment of the path ("vehicles", "jobs")."""
    first = request.path_info.strip("/").partition("/")[0]
    return {"part": PARTS.get(first, first)}
