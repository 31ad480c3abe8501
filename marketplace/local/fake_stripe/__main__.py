"""`python -m marketplace.local.fake_stripe --port 9000 --data fake.sqlite`: run the fake until SIGTERM."""

import argparse
import os
from pathlib import Path

import uvicorn

from marketplace.local.fake_stripe.api import FakeStripe
from marketplace.local.fake_stripe.server import Server, webhook_url_from
from marketplace.local.fake_stripe.webhooks import Chaos


def main() -> None:
    """Read the command line and serve the fake until SIGTERM."""
    parser = argparse.ArgumentParser(prog="fake_stripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", default=":memory:", help="a SQLite file that keeps the objects (default: memory)")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--webhook-url", help="the URL that events are sent to")
    target.add_argument("--web-port-file", type=Path, help="a file with the port of the site on this host")
    parser.add_argument("--copies", type=int, default=1, help="how often each event is sent")
    parser.add_argument("--delay-max-s", type=float, default=0.0, help="longest random delay: changes the order")
    parser.add_argument("--lost-permille", type=int, default=0, help="events per thousand that are lost")
    parser.add_argument("--charges-pend", action="store_true", help="charges are available after two days")
    parser.add_argument("--banks-wait", action="store_true", help="balances reach banks only by the desk")
    options = parser.parse_args()
    fake = FakeStripe(options.data, base_url=f"http://127.0.0.1:{options.port}")
    fake.emitter.deliveries.chaos = Chaos(options.copies, options.delay_max_s, options.lost_permille)
    fake.emitter.available_at_once, fake.emitter.banks_at_once = not options.charges_pend, not options.banks_wait
    webhook_url = webhook_url_from(options.web_port_file) if options.web_port_file else lambda: str(options.webhook_url)
    server = Server(fake, secret=os.environ["FAKE_STRIPE_WEBHOOK_SECRET"], webhook_url=webhook_url)
    uvicorn.run(server, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
