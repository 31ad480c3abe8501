"""Template context: which part of the site a page belongs to, so that the header marks it on every page of that part."""

from django.http import HttpRequest

# By the first word of the path. A customer's header shows the money as "Wallet", an owner's as "Earnings".
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
    """`part` is "money", or what the path begins with: "vehicles", "jobs"."""
    first = request.path_info.strip("/").partition("/")[0]
    return {"part": PARTS.get(first, first)}
