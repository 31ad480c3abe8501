import asyncio
from typing import Any

from django.core.management.base import BaseCommand

from compute.link.process import Link


class Command(BaseCommand):
    help = "Runs the vehicle link: syncs from NATS into the database, leases and cancels back. Several may run."

    def handle(self, *args: Any, **options: Any) -> None:
        async def main() -> None:
            await Link().run()

        asyncio.run(main())
