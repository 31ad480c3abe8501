"""The messages that a node and the marketplace exchange, on both carriers.

Both carriers transport the same messages: `SyncRequest` -> `SyncResponse` as MessagePack over NATS request-reply
(subject `node.<node id>.sync`) or in the body of `POST /api/node/v1/sync`. `Push` goes from the server to the node, on
the NATS subject `cmd.<node id>`. A lost push costs only time: the answer to the next sync has the same content.

A message of another `VERSION` is refused with `unsupported_version`. New fields are always optional, with a default.
Times are integers: milliseconds of duration, or Unix milliseconds in names that end `_unix_ms`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

M = TypeVar("M")
VERSION = 1
CONTENT_TYPE = "application/vnd.driveway.v1+msgpack"
GRANT_HEADER = "Driveway-Grant"
FENCE_HEADER = "Driveway-Fence"
SIGNATURE_LABEL = "node"
# RFC 9421 components that the signature of every HTTPS request covers; `content-digest` (RFC 9530) covers the body.
COVERED_COMPONENTS = ("@method", "@path", "@query", "content-digest")
SIGNATURE_MAX_AGE_S = 60

METER_DOMAIN = b"driveway-meter-v1\n"
GENESIS_HASH = "0" * 64
INLINE_RESULT_MAX_BYTES = 4096
NATS_MAX_PAYLOAD_BYTES = 65536


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all messages: immutable. Unknown fields are ignored; default values are not transmitted."""


class Hardware(Message, frozen=True):
    """A node's description of its computer. The server derives the hardware class from it."""

    machine: str  # "x86_64", "aarch64"
    isa: str  # the vector extensions that change results: "avx512_vnni", "avx2", "asimddp"
    provider: str  # onnxruntime execution provider
    onnxruntime: str
    cores: int
    memory_bytes: int
    layers: tuple[str, ...] = ()  # active sandbox layers: "bubblewrap", "rlimits", "seccomp"
    kind: Literal["simulated", "box", "oem"] = "simulated"


class Enrolment(Message, frozen=True):
    """`POST /api/node/v1/enrol`: a one-time code and the public key created on the vehicle."""

    code: str
    public_key: str  # Ed25519, 32 bytes as hex
    hardware: Hardware
    agent_version: str
    version: int = VERSION


class Health(Message, frozen=True):
    """Health of the computer since the last answered sync. Sent only while `share` contains "reliability"."""

    band: Literal["cool", "warm", "hot"]
    units_failed: int = 0


class Policy(Message, frozen=True):
    """The owner's rules, evaluated on the vehicle.

    Weekday 0 is Monday; minutes count from midnight in `time_zone`. The entries of `windows` are (weekday, start, end),
    of `ready_by` (weekday, minute), of `tariff_windows` (weekday, start, end, micro-units per kWh). A span whose end is
    not after its start ends on the next day. Prices are micro-units of the owner's currency. A `pause` ("stop" or
    "finish") lasts until `paused_until_unix_ms`; 0 means without end.
    """

    version: int
    time_zone: str = "UTC"
    windows: tuple[tuple[int, int, int], ...] = ()  # empty: any time
    ready_by: tuple[tuple[int, int], ...] = ()
    ready_by_percent: int = 80
    ready_by_lead_minutes: int = 180
    day_share_percent: int = 100
    plugged_in_only: bool = True
    charge_stop_percent: int = 50
    charge_resume_percent: int = 55
    heat_stop_c: int = 45
    heat_resume_c: int = 40
    network: Literal["wifi", "capped", "any"] = "wifi"
    data_cap_mb_per_month: int = 1000  # of mobile data, in 10^6 bytes
    power_rule: Literal["any", "solar", "below_price", "solar_or_below_price"] = "any"
    price_limit_micro_per_kwh: int = 150_000
    tariff_micro_per_kwh: int = 180_200
    tariff_windows: tuple[tuple[int, int, int, int], ...] = ()
    pause: Literal["", "stop", "finish"] = ""
    paused_until_unix_ms: int = 0


class Enrolled(Message, frozen=True):
    """The answer to an enrolment: the node's identity, its class and the owner's rules."""

    node: str  # UUID
    hardware_class: str
    power_mw: int  # modelled power of the class while one unit runs, used when no energy counter can be read
    policy: Policy
    poll_ms: int


class Pairing(Message, frozen=True):
    """`POST /api/node/v1/pairings`: an agent asks for a pairing code, signed with its new key.

    It polls by repeating this.
    """

    public_key: str  # Ed25519, 32 bytes as hex
    hardware: Hardware
    agent_version: str
    version: int = VERSION


class Pairable(Message, frozen=True):
    """The answer to a pairing: a code to show until the owner has confirmed it at `url`, then `enrolled`."""

    code: str = ""
    url: str = ""  # includes the code, so that it can be shown as a QR code
    expires_in_ms: int = 0
    poll_ms: int = 3000
    enrolled: Enrolled | None = None


class Credentials(Message, frozen=True):
    """`POST /api/node/v1/credentials`: a short-lived NATS user JWT bound to the node's own key."""

    jwt: str
    urls: tuple[str, ...]
    expires_unix_ms: int


class Renewal(Message, frozen=True):
    """A lease that the node holds and wants to keep."""

    attempt: int
    fence: int


class Report(Message, frozen=True):
    """One ended execution. `record` is the signed meter record; the server stores it byte for byte.

    A small result (a safetensors file of at most INLINE_RESULT_MAX_BYTES) is in `result`. A larger one was uploaded
    before; the record's `output` is its digest.
    """

    attempt: int
    fence: int
    outcome: Literal["ok", "error", "cancelled"]
    record: bytes
    signature: bytes
    code: str = ""
    result: bytes = b""


class SyncRequest(Message, frozen=True):
    """Heartbeat, reports and lease renewals of one node. `seq` increases with every sync, also after a restart."""

    node: str
    seq: int
    available: bool
    reason: str = ""  # why the node is not available: a code of compute.reasons
    capacity: int = 0  # leases that the node would hold in total, running ones included
    running: tuple[Renewal, ...] = ()
    reports: tuple[Report, ...] = ()
    policy_version: int = 0
    hardware: Hardware | None = None  # on the first sync after a start
    health: Health | None = None
    agent_version: str = ""
    chain: str = ""  # answers `SyncResponse.chain`: hash of the record after which the agent continues its chain
    version: int = VERSION


class Lease(Message, frozen=True):
    """Permission to run one unit until it expires. `expires_in_ms` counts from receipt, so clocks may differ."""

    attempt: int
    fence: int
    expires_in_ms: int
    items: int
    batch: int  # items of one session run, in order; results depend on it, so all copies of a unit use the same
    model_sha256: str
    model_bytes: int
    input_sha256: str
    input_bytes: int
    outputs: tuple[str, ...]
    memory_bytes: int
    time_limit_ms: int
    grant: str  # short-lived permission of this node to download these two digests


class Ack(Message, frozen=True):
    """The server's answer to one report. "refused" is final too: the agent must not send the report again."""

    attempt: int
    fence: int
    status: Literal["accepted", "duplicate", "refused"]
    code: str = ""


class Cancel(Message, frozen=True):
    """An order to stop one lease, with the reason."""

    attempt: int
    fence: int
    code: str  # "consent_withdrawn", "lease_lost", "job_cancelled", ...


class Chain(Message, frozen=True):
    """The newest meter record on the server of a node whose suspension was lifted, as the node signed it."""

    record: bytes
    signature: bytes


class SyncResponse(Message, frozen=True):
    """The answer to a sync, sent only after its effects are durable. If `error` is set, nothing was written."""

    seq: int
    acks: tuple[Ack, ...] = ()
    leases: tuple[Lease, ...] = ()
    cancels: tuple[Cancel, ...] = ()
    withheld: str = ""  # why the node gets no work: "consent_refused", "node_suspended", ...
    policy: Policy | None = None  # only when it differs from the request's `policy_version`
    # After a suspension: the record after which the node must continue its chain. The node confirms it with
    # `SyncRequest.chain` and gets no work before.
    chain: Chain | None = None
    share: tuple[str, ...] = ()  # further purposes that the owner consents to: the node may send data for them
    next_sync_ms: int = 5000
    lease_ms: int = 15000  # the new lifetime of a renewed lease, counted from when the sync was sent
    error: str = ""
    message: str = ""
    version: int = VERSION


class Push(Message, frozen=True):
    """Leases and cancels that the server sends between syncs, on the NATS subject `cmd.<node id>`."""

    leases: tuple[Lease, ...] = ()
    cancels: tuple[Cancel, ...] = ()
    version: int = VERSION


class Withdrawal(Message, frozen=True):
    """`POST /api/node/v1/withdrawals`: the person at the car withdraws a consent.

    Signed like every request of a node.
    """

    purpose: str = "run_jobs"
    version: int = VERSION


class Withdrawn(Message, frozen=True):
    """The recorded withdrawal. `record` is the receipt's id, "" when there was no consent to withdraw."""

    record: str
    state: str


class MeterPayload(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a meter record, which a node signs for each execution.

    `seq` and `prev` (the hash of the previous record) chain a node's records, so that a missing one is noticed.
    `compute_ms` is milliseconds by `compute_method` ("cpu_time": user + system time of the sandboxed child).
    `energy_mwh` is milliwatt-hours by `energy_method`: "rapl", "nvml" or "ina3221" (counters and sensors of the
    computer), or "model" (class power x compute time).
    """

    v: int
    node: str
    seq: int
    prev: str
    attempt: int
    fence: int
    model: str
    input: str
    output: str
    items: int
    outcome: str
    started_unix_ms: int
    ended_unix_ms: int
    compute_ms: int
    compute_method: str
    energy_mwh: int
    energy_method: str
    agent: str
    layers: tuple[str, ...]


_packer = msgspec.msgpack.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")


def pack(message: Message) -> bytes:
    """Return the MessagePack bytes of a message."""
    return _packer.encode(message)


def unpack_enrolment(data: bytes) -> Enrolment:
    """Decode an `Enrolment`. Raise msgspec.DecodeError (a ValueError), like all functions here, for invalid bytes."""
    return _decoded(_enrolment.decode, data)


def unpack_pairing(data: bytes) -> Pairing:
    """Decode a `Pairing`."""
    return _decoded(_pairing.decode, data)


def unpack_withdrawal(data: bytes) -> Withdrawal:
    """Decode a `Withdrawal`."""
    return _decoded(_withdrawal.decode, data)


def unpack_request(data: bytes) -> SyncRequest:
    """Decode a `SyncRequest`."""
    return _decoded(_sync_request.decode, data)


def unpack_response(data: bytes) -> SyncResponse:
    """Decode a `SyncResponse`."""
    return _decoded(_sync_response.decode, data)


def unpack_push(data: bytes) -> Push:
    """Decode a `Push`."""
    return _decoded(_push.decode, data)


def unpack_meter(record: bytes) -> MeterPayload:
    """Decode the JSON of a meter record."""
    return _decoded(_meter.decode, record)


def _decoded(decode: Callable[[bytes], M], data: bytes) -> M:
    """Decode `data`.

    Raise DecodeError also for invalid UTF-8 and endless nesting, where msgspec raises other errors.
    """
    try:
        return decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"{type(error).__name__} in a message") from error


def meter_bytes(payload: MeterPayload) -> bytes:
    """Return the canonical bytes of a meter record: JSON with sorted keys and no white space."""
    return _canonical.encode(payload)


def meter_hash(record: bytes) -> str:
    """Return the SHA-256 of a meter record in hex, which links the chain."""
    return hashlib.sha256(record).hexdigest()


def signed_bytes(record: bytes) -> bytes:
    """Return the bytes to sign with Ed25519.

    Their prefix keeps a record's signature from being valid for anything else.
    """
    return METER_DOMAIN + record


_enrolment = msgspec.msgpack.Decoder(Enrolment)
_pairing = msgspec.msgpack.Decoder(Pairing)
_withdrawal = msgspec.msgpack.Decoder(Withdrawal)
_sync_request = msgspec.msgpack.Decoder(SyncRequest)
_sync_response = msgspec.msgpack.Decoder(SyncResponse)
_push = msgspec.msgpack.Decoder(Push)
_meter = msgspec.json.Decoder(MeterPayload)


def sync_subject(node: str) -> str:
    """Return the NATS subject on which a node sends its syncs."""
    return f"node.{node}.sync"


def command_subject(node: str) -> str:
    """Return the NATS subject on which a node receives pushes."""
    return f"cmd.{node}"


def inbox_prefix(node: str) -> str:
    """Return the prefix of the NATS subjects on which a node receives answers."""
    return f"_INBOX_{node}"
