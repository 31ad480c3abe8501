"""`python -m marketplace.local.fake_stripe --port 9000 --data fake.sqlite`: run the fake until SIGTERM."""

import argparse
import os
from pathlib import Path

import uvicorn

from marketplace.local.fake_stripe.api import FakeStripe
from marketplace.local.fake_stripe.server import Server, webhook_url_from
from marketplace.local.fake_stripe.webhooks import Chaos


def main() -> None:
    parser = argparse.ArgumentParser(prog="fake_stripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", default=":memory:", help="a SQLite file")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--webhook-url", help="where events are sent")
    where.add_argument("--web-port-file", type=Path, help="a file with the port of the site on this machine")
    parser.add_argument("--copies", type=int, default=1, help="send every event so many times")
    parser.add_argument("--delay-max-s", type=float, default=0.0, help="hold each back for up to so long: out of order")
    parser.add_argument("--lost-permille", type=int, default=0, help="never send so many of a thousand")
    parser.add_argument("--charges-pend", action="store_true", help="charges pay transfers after two days only")
    parser.add_argument("--banks-wait", action="store_true", help="accounts are paid to their banks by the desk only")
    options = parser.parse_args()
    fake = FakeStripe(options.data, base_url=f"http://127.0.0.1:{options.port}")
    fake.emitter.deliveries.chaos = Chaos(options.copies, options.delay_max_s, options.lost_permille)
    fake.emitter.available_at_once, fake.emitter.banks_at_once = not options.charges_pend, not options.banks_wait
    look = webhook_url_from(options.web_port_file) if options.web_port_file else lambda: str(options.webhook_url)
    server = Server(fake, secret=os.environ["FAKE_STRIPE_WEBHOOK_SECRET"], webhook_url=look)
    uvicorn.run(server, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
