"""`manage.py link`: the vehicle link process."""

import asyncio
from typing import Any

from django.core.management.base import BaseCommand

from compute.link.process import Link


class Command(BaseCommand):
    help = "Run the vehicle link between NATS and the database: syncs in, leases and cancels out. Several may run."

    def handle(self, *args: Any, **options: Any) -> None:
        async def main() -> None:
            await Link().run()

        asyncio.run(main())
