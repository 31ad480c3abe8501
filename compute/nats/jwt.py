"""NATS decentralised JWTs: operator -> account -> user, and the server configuration that trusts them.

The NATS server holds no list of users. It trusts one operator key; the operator signs accounts, an account
signs users, and a user proves that it holds its own Ed25519 key when it connects. So the site issues node
credentials without talking to the server, and a server that restarts needs nothing from the site. Format:
https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt and nats-io/jwt v2.

Two facts shape this module (measured on nats-server 2.15.1, see tests/compute/nats/test_jwt.py):
- only the *full* resolver takes a new account JWT from a running site, so revocations need it; with a MEMORY
  resolver a revoked node stays connected.
- on start the server keeps the stored account JWT when that is newer than the preloaded one. Preloaded JWTs
  therefore carry a fixed, old issue time, so that a restart never forgets a revocation.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import nkeys

Kind = Literal["operator", "account", "user"]
Claims = dict[str, Any]

_PREFIXES: dict[Kind, int] = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
# 2025-01-01T00:00:00Z: older than any JWT issued by a running site, and the same on every start (see above).
CHAIN_ISSUED_AT = 1_735_689_600
CLAIMS_UPDATE_SUBJECT = "$SYS.REQ.CLAIMS.UPDATE"
NODE_MAX_PAYLOAD_BYTES = 64 * 1024
SERVER_MAX_PAYLOAD_BYTES = 1024 * 1024
UNLIMITED = -1


def create_seed(kind: Kind) -> str:
    """A new random nkey seed: "SO..." for an operator, "SA..." for an account, "SU..." for a user."""
    return bytes(nkeys.encode_seed(os.urandom(32), _PREFIXES[kind])).decode()


def public_key(seed: str) -> str:
    """The public nkey of a seed: "O...", "A..." or "U...", 56 characters. Raises nkeys.NkeysError."""
    return bytes(_pair(seed).public_key).decode()


def user_public_from_ed25519(raw32: bytes) -> str:
    """The NATS user name "U..." of a raw Ed25519 public key, so that a node has one key for everything.

    Encoding (nats-io/nkeys): base32(prefix byte || key || CRC-16/XMODEM, little endian). Raises ValueError.
    """
    if len(raw32) != 32:
        raise ValueError("an Ed25519 public key has 32 bytes")
    body = bytes([nkeys.PREFIX_BYTE_USER]) + raw32
    return base64.b32encode(body + nkeys.crc16_checksum(body)).decode()


def operator_jwt(
    *, operator_seed: str, system_account: str, name: str = "driveway", issued_at: int = CHAIN_ISSUED_AT
) -> str:
    """The self-signed root of trust. Keep it fixed: a server takes a new one only on restart."""
    body: Claims = {"type": "operator", "version": 2, "system_account": system_account}
    return _sign(operator_seed, subject=public_key(operator_seed), name=name, issued_at=issued_at, nats=body)


def account_jwt(
    *,
    operator_seed: str,
    account_public: str,
    name: str,
    revocations: Mapping[str, int] | None = None,
    issued_at: int | None = None,
    max_connections: int = UNLIMITED,
) -> str:
    """An account signed by the operator.

    `revocations` maps a user public key to unix seconds: every JWT of that user issued at or before then is
    refused, and a live connection made with one is dropped. Leaf nodes and JetStream get no allowance.
    """
    unlimited = ("subs", "data", "payload", "imports", "exports")
    limits: Claims = dict.fromkeys(unlimited, UNLIMITED)
    limits |= {"wildcards": True, "conn": max_connections, "leaf": 0}
    body: Claims = {"type": "account", "version": 2, "limits": limits}
    if revocations:
        body["revocations"] = dict(sorted(revocations.items()))
    return _sign(operator_seed, subject=account_public, name=name, issued_at=issued_at, nats=body)


def system_account_jwt(*, operator_seed: str, system_public: str) -> str:
    """The account whose users may update account JWTs; a few connections are plenty."""
    return account_jwt(
        operator_seed=operator_seed,
        account_public=system_public,
        name="system",
        issued_at=CHAIN_ISSUED_AT,
        max_connections=64,
    )


def user_jwt(
    *,
    account_seed: str,
    user_public: str,
    name: str,
    expires_at: datetime | int,
    publish: Sequence[str],
    subscribe: Sequence[str],
    max_payload: int = NODE_MAX_PAYLOAD_BYTES,
    max_subscriptions: int = UNLIMITED,
    responses: int = 0,
    issued_at: int | None = None,
) -> str:
    """A user of the account, allowed to publish and subscribe to the given subjects only (none when empty).

    `expires_at` is aware or unix seconds; `max_payload` is in bytes: the server closes the connection of a
    user that sends more. `responses` lets the user answer a request on its reply subject that many times
    within 30 s.
    """
    body: Claims = {
        "type": "user",
        "version": 2,
        "pub": _permission(publish),
        "sub": _permission(subscribe),
        "subs": max_subscriptions,
        "data": UNLIMITED,
        "payload": max_payload,
        "allowed_connection_types": ["STANDARD"],
    }
    if responses:
        body["resp"] = {"max": responses, "ttl": 30_000_000_000}
    return _sign(
        account_seed,
        subject=user_public,
        name=name,
        issued_at=issued_at,
        expires_at=_unix(expires_at),
        nats=body,
    )


def claims_update(token: str) -> tuple[str, bytes]:
    """Subject and payload of the request by which a system-account user stores a new account JWT."""
    return CLAIMS_UPDATE_SUBJECT, token.encode()


def claims_accepted(reply: bytes) -> bool:
    """Whether a server's answer to `claims_update` says that the JWT was stored."""
    try:
        answer = json.loads(reply)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("data", {}).get("code") == 200


@dataclass(frozen=True)
class Credentials:
    """What one user needs to connect: its JWT and how to sign the server's nonce with its key."""

    jwt: str
    sign: Callable[[bytes], bytes]

    def connect_options(self) -> dict[str, Any]:
        """Keyword arguments for `nats.connect`."""
        return {
            "user_jwt_cb": lambda: self.jwt.encode(),
            "signature_cb": lambda nonce: base64.b64encode(self.sign(nonce.encode())),
        }


@dataclass(frozen=True)
class TrustChain:
    """The three secrets of the vehicle link; the JWTs of the chain itself follow from them."""

    operator_seed: str
    account_seed: str
    system_seed: str

    def __post_init__(self) -> None:
        """Refuse swapped or broken seeds now, and not at the first connection. Raises ValueError."""
        for label, seed, prefix in (
            ("operator", self.operator_seed, "O"),
            ("account", self.account_seed, "A"),
            ("system", self.system_seed, "A"),
        ):
            try:
                fits = public_key(seed).startswith(prefix)
            except nkeys.NkeysError:
                fits = False
            if not fits:
                raise ValueError(f"the NATS {label} seed is not a valid {label} seed")

    @classmethod
    def create(cls) -> TrustChain:
        """A new random chain."""
        return cls(create_seed("operator"), create_seed("account"), create_seed("account"))

    @classmethod
    def load(cls, path: Path) -> TrustChain:
        """Read a chain written by `save`. Raises OSError, ValueError."""
        values = json.loads(path.read_text())
        return cls(values["operator_seed"], values["account_seed"], values["system_seed"])

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> TrustChain | None:
        """The chain of NATS_OPERATOR_SEED, NATS_ACCOUNT_SEED and NATS_SYSTEM_SEED, else of NATS_TRUST_FILE.

        None when neither is set. Raises OSError, ValueError.
        """
        seeds = [environment.get(f"NATS_{part}_SEED", "") for part in ("OPERATOR", "ACCOUNT", "SYSTEM")]
        if any(seeds):
            return cls(*seeds)
        trust_file = environment.get("NATS_TRUST_FILE")
        return cls.load(Path(trust_file)) if trust_file else None

    def save(self, path: Path) -> None:
        """Write JSON that only its owner can read. Raises FileExistsError: seeds are never overwritten."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=1)

    @property
    def account_public(self) -> str:
        """Public key of the account that nodes and the link belong to."""
        return public_key(self.account_seed)

    @property
    def system_public(self) -> str:
        """Public key of the system account."""
        return public_key(self.system_seed)

    def operator_jwt(self) -> str:
        """The operator JWT, identical on every call."""
        return operator_jwt(operator_seed=self.operator_seed, system_account=self.system_public)

    def account_jwt(self, *, revocations: Mapping[str, int] | None = None, issued_at: int | None = None) -> str:
        """The nodes' account with these revocations, issued now unless told otherwise."""
        return account_jwt(
            operator_seed=self.operator_seed,
            account_public=self.account_public,
            name="driveway",
            revocations=revocations,
            issued_at=issued_at,
        )

    def credentials(
        self,
        *,
        name: str,
        expires_at: datetime | int,
        publish: Sequence[str],
        subscribe: Sequence[str],
        max_payload: int = SERVER_MAX_PAYLOAD_BYTES,
        system: bool = False,
    ) -> Credentials:
        """A user of the site itself with a new key: of the nodes' account, or of the system account."""
        seed = create_seed("user")
        token = user_jwt(
            account_seed=self.system_seed if system else self.account_seed,
            user_public=public_key(seed),
            name=name,
            expires_at=expires_at,
            publish=publish,
            subscribe=subscribe,
            max_payload=max_payload,
        )
        return Credentials(jwt=token, sign=_pair(seed).sign)

    def system_credentials(self, *, expires_at: datetime | int) -> Credentials:
        """A system-account user that may do nothing but send `claims_update` and read the answer."""
        return self.credentials(
            name="claims",
            expires_at=expires_at,
            publish=[CLAIMS_UPDATE_SUBJECT],
            subscribe=["_INBOX.>"],
            system=True,
        )


def server_config(
    chain: TrustChain, *, port: int, store_dir: Path, host: str = "127.0.0.1", max_connections: int = 65_536
) -> str:
    """The nats-server configuration file that trusts `chain`; it holds public material only.

    JetStream, MQTT, WebSocket, leaf nodes, clustering and the HTTP monitor are off because their blocks are
    absent: most published advisories are in those parts. `max_payload` is 1 MiB for the site's own users; a
    node is held to `NODE_MAX_PAYLOAD_BYTES` by its JWT. `write_deadline` drops a client that does not read
    within 2 s.
    """
    system = system_account_jwt(operator_seed=chain.operator_seed, system_public=chain.system_public)
    account = chain.account_jwt(issued_at=CHAIN_ISSUED_AT)
    # The timeout is how long a stranger's unknown account is looked for.
    resolver = {"type": "full", "dir": str(store_dir), "allow_delete": False, "timeout": "500ms"}
    preload = {chain.system_public: system, chain.account_public: account}
    lines = [
        f"host: {json.dumps(host)}",
        f"port: {port}",
        "server_name: driveway",
        f"operator: {json.dumps(chain.operator_jwt())}",
        f"system_account: {chain.system_public}",
        f"resolver: {json.dumps(resolver)}",
        f"resolver_preload: {json.dumps(preload)}",
        f"max_payload: {SERVER_MAX_PAYLOAD_BYTES}",
        "max_control_line: 4KB",
        "max_pending: 16MB",
        f"max_connections: {max_connections}",
        'write_deadline: "2s"',
        'ping_interval: "20s"',
        "ping_max: 2",
        "authorization { timeout: 10 }",
    ]
    return "\n".join(lines) + "\n"


def _permission(subjects: Sequence[str]) -> Claims:
    """An empty allow list means "everything" to the server, so that nothing has to be said as a denial."""
    return {"allow": list(subjects)} if subjects else {"deny": [">"]}


def _unix(moment: datetime | int) -> int:
    if isinstance(moment, int):
        return moment
    if moment.tzinfo is None:
        raise ValueError("expires_at must be an aware datetime")
    return int(moment.timestamp())


def _pair(seed: str) -> Any:
    return nkeys.from_seed(bytearray(seed.encode()))


def _sign(
    seed: str, *, subject: str, name: str, nats: Claims, issued_at: int | None, expires_at: int | None = None
) -> str:
    """Header, claims and Ed25519 signature, as nats-io/jwt v2 writes them."""
    claims: Claims = {
        "iat": int(time.time()) if issued_at is None else issued_at,
        "iss": public_key(seed),
        "name": name,
        "nats": nats,
        "sub": subject,
    }
    if expires_at is not None:
        claims["exp"] = expires_at
    claims["jti"] = base64.b32encode(hashlib.sha256(_compact(claims)).digest()).decode().rstrip("=")
    signed = f"{_b64(_compact({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_b64(_compact(claims))}"
    return f"{signed}.{_b64(_pair(seed).sign(signed.encode()))}"


def _compact(value: Claims) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
