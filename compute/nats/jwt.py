"""NATS decentralised JWTs: operator -> account -> user, and the server configuration that trusts them.

The NATS server has no list of users. It trusts one operator key; the operator signs accounts, an account signs users,
and a user proves that it holds its own Ed25519 key when it connects. So the site issues node credentials without
contacting the server, and a server that restarts needs nothing from the site. Format:
https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt and nats-io/jwt v2.

Two facts shape this module (measured on nats-server 2.15.1, see tests/compute/nats/test_jwt.py):
- Only the *full* resolver accepts a new account JWT at run time, so revocations need it. With a MEMORY resolver a
  revoked node stays connected.
- When the server starts, it keeps the stored account JWT if that is newer than the preloaded one. So preloaded JWTs
  have a fixed, old issue time, and a restart never undoes a revocation.
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
    """Return a new random nkey seed: "SO..." for an operator, "SA..." for an account, "SU..." for a user."""
    return bytes(nkeys.encode_seed(os.urandom(32), _PREFIXES[kind])).decode()


def public_key(seed: str) -> str:
    """Return the public nkey of a seed: "O...", "A..." or "U...", 56 characters. Raise nkeys.NkeysError."""
    return bytes(_pair(seed).public_key).decode()


def user_public_from_ed25519(raw32: bytes) -> str:
    """Return the NATS user nkey "U..." of a raw Ed25519 public key, so that a node needs only one key.

    Encoding (nats-io/nkeys): base32(prefix byte || key || CRC-16/XMODEM, little endian). Raise ValueError unless the
    key has 32 bytes.
    """
    if len(raw32) != 32:
        raise ValueError("an Ed25519 public key has 32 bytes")
    body = bytes([nkeys.PREFIX_BYTE_USER]) + raw32
    return base64.b32encode(body + nkeys.crc16_checksum(body)).decode()


def operator_jwt(
    *, operator_seed: str, system_account: str, name: str = "driveway", issued_at: int = CHAIN_ISSUED_AT
) -> str:
    """Return the self-signed root of trust. It must not change: a server accepts a new one only on restart."""
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
    """Return the JWT of an account, signed by the operator.

    `revocations` maps a user's public key to Unix seconds: every JWT of that user issued at or before that time is
    refused, and a connection made with one is closed. Leaf nodes and JetStream are not allowed.
    """
    unlimited = ("subs", "data", "payload", "imports", "exports")
    limits: Claims = dict.fromkeys(unlimited, UNLIMITED)
    limits |= {"wildcards": True, "conn": max_connections, "leaf": 0}
    body: Claims = {"type": "account", "version": 2, "limits": limits}
    if revocations:
        body["revocations"] = dict(sorted(revocations.items()))
    return _sign(operator_seed, subject=account_public, name=name, issued_at=issued_at, nats=body)


def system_account_jwt(*, operator_seed: str, system_public: str) -> str:
    """Return the JWT of the system account, whose users may update account JWTs. It allows 64 connections."""
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
    """Return the JWT of a user of the account, who may publish and subscribe only to the given subjects (empty: none).

    `expires_at` is an aware datetime or Unix seconds. `max_payload` is in bytes: the server closes the connection of a
    user that sends more. `responses` lets the user answer a request on its reply subject that many times within 30 s.
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
    """Return (subject, payload) of the request with which a user of the system account stores a new account JWT."""
    return CLAIMS_UPDATE_SUBJECT, token.encode()


def claims_accepted(reply: bytes) -> bool:
    """Return whether the server's answer to `claims_update` confirms that the JWT was stored."""
    try:
        answer = json.loads(reply)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("data", {}).get("code") == 200


@dataclass(frozen=True)
class Credentials:
    """What a user needs to connect: its JWT, and a function that signs the server's nonce with its key."""

    jwt: str
    sign: Callable[[bytes], bytes]

    def connect_options(self) -> dict[str, Any]:
        """Return the keyword arguments for `nats.connect`."""
        return {
            "user_jwt_cb": lambda: self.jwt.encode(),
            "signature_cb": lambda nonce: base64.b64encode(self.sign(nonce.encode())),
        }


@dataclass(frozen=True)
class TrustChain:
    """The three secret seeds of the vehicle link. The JWTs of operator and accounts are derived from them."""

    operator_seed: str
    account_seed: str
    system_seed: str

    def __post_init__(self) -> None:
        """Raise ValueError for swapped or invalid seeds, before the first connection would fail."""
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
        """Return a new random chain."""
        return cls(create_seed("operator"), create_seed("account"), create_seed("account"))

    @classmethod
    def load(cls, path: Path) -> TrustChain:
        """Read a chain written by `save`. Raise OSError or ValueError."""
        values = json.loads(path.read_text())
        return cls(values["operator_seed"], values["account_seed"], values["system_seed"])

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> TrustChain | None:
        """Return the chain from NATS_OPERATOR_SEED, NATS_ACCOUNT_SEED and NATS_SYSTEM_SEED, else from NATS_TRUST_FILE.

        Return None when neither is set. Raise OSError or ValueError.
        """
        seeds = [environment.get(f"NATS_{part}_SEED", "") for part in ("OPERATOR", "ACCOUNT", "SYSTEM")]
        if any(seeds):
            return cls(*seeds)
        trust_file = environment.get("NATS_TRUST_FILE")
        return cls.load(Path(trust_file)) if trust_file else None

    def save(self, path: Path) -> None:
        """Write the seeds as JSON that only this user can read. Raise FileExistsError: seeds are never overwritten."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=1)

    @property
    def account_public(self) -> str:
        """The public key of the account to which nodes and the link belong."""
        return public_key(self.account_seed)

    @property
    def system_public(self) -> str:
        """The public key of the system account."""
        return public_key(self.system_seed)

    def operator_jwt(self) -> str:
        """Return the operator JWT, identical on every call."""
        return operator_jwt(operator_seed=self.operator_seed, system_account=self.system_public)

    def account_jwt(self, *, revocations: Mapping[str, int] | None = None, issued_at: int | None = None) -> str:
        """Return the JWT of the nodes' account with these revocations, issued now unless `issued_at` is given."""
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
        """Return credentials with a new key for a user of the site itself, in the nodes' or in the system account."""
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
        """Return credentials of a system-account user that may only send `claims_update` and read the answer."""
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
    """Return the configuration file of a nats-server that trusts `chain`. It contains only public keys and JWTs.

    JetStream, MQTT, WebSocket, leaf nodes, clustering and the HTTP monitor are off because their blocks are absent;
    most published security advisories concern them. `max_payload` is 1 MiB for the site's own users; the JWT of a node
    limits it to NODE_MAX_PAYLOAD_BYTES. `write_deadline` closes the connection of a client that does not read within 2
    s.
    """
    system = system_account_jwt(operator_seed=chain.operator_seed, system_public=chain.system_public)
    account = chain.account_jwt(issued_at=CHAIN_ISSUED_AT)
    # The timeout limits the search for an account that the server does not know.
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
    """Return the permission for these subjects.

    The server reads an empty allow list as "all", so none becomes a denial.
    """
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
    """Return the JWT: header, claims and Ed25519 signature in the format of nats-io/jwt v2."""
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
