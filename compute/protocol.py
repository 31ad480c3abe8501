"""The messages that a node and the marketplace exchange, on both carriers.

One contract, two carriers: `SyncRequest` -> `SyncResponse` travels as MessagePack over NATS request-reply
(subject `node.<node id>.sync`) or in the body of `POST /api/node/v1/sync`. `Push` goes the other way, on
`cmd.<node id>`; losing one costs latency only, since the next sync repeats what it said.

A message of another `VERSION` is refused with `unsupported_version`; fields are only ever added, with a default.
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
# RFC 9421 components that every HTTPS request of a node covers; `content-digest` (RFC 9530) binds the body.
COVERED_COMPONENTS = ("@method", "@path", "@query", "content-digest")
SIGNATURE_MAX_AGE_S = 60

METER_DOMAIN = b"driveway-meter-v1\n"
GENESIS_HASH = "0" * 64
INLINE_RESULT_MAX_BYTES = 4096
NATS_MAX_PAYLOAD_BYTES = 65536


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all messages: immutable, unknown fields ignored, defaults left out on the wire."""


class Hardware(Message, frozen=True):
    """What a node says of its computer; the server derives the hardware class from it."""

    machine: str  # "x86_64", "aarch64"
    isa: str  # the vector extensions that change results: "avx512_vnni", "avx2", "asimddp"
    provider: str  # onnxruntime execution provider
    onnxruntime: str
    cores: int
    memory_bytes: int
    layers: tuple[str, ...] = ()  # active sandbox layers: "bubblewrap", "rlimits", "seccomp"
    kind: Literal["simulated", "box", "oem"] = "simulated"


class Enrolment(Message, frozen=True):
    """`POST /api/node/v1/enrol`: a one-time code, and the public half of the key made on the vehicle."""

    code: str
    public_key: str  # Ed25519, 32 bytes as hex
    hardware: Hardware
    agent_version: str
    version: int = VERSION


class Health(Message, frozen=True):
    """How the computer has been since the last answered sync; sent only while `share` names "reliability"."""

    band: Literal["cool", "warm", "hot"]
    units_failed: int = 0


class Policy(Message, frozen=True):
    """The owner's rules, evaluated on the vehicle.

    Weekday 0 is Monday, minutes count from midnight in `time_zone`; `windows` are (weekday, start, end), `ready_by`
    (weekday, minute), `tariff_windows` (weekday, start, end, micro per kWh). A span whose end is not after its start ends
    on the next day. Prices are micro-units of the owner's currency. `pause` "stop" or "finish" lasts until
    `paused_until_unix_ms`, 0 for without an end.
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
    node: str  # UUID
    hardware_class: str
    power_mw: int  # the class's modelled draw while one unit runs, used when no counter can be read
    policy: Policy
    poll_ms: int


class Pairing(Message, frozen=True):
    """`POST /api/node/v1/pairings`: an agent asks to be claimed; signed with the key that it brings. Asking again is polling."""

    public_key: str  # Ed25519, 32 bytes as hex
    hardware: Hardware
    agent_version: str
    version: int = VERSION


class Pairable(Message, frozen=True):
    """The answer: a code to show until its owner has typed it at `url`, or what an enrolment answers once they have."""

    code: str = ""
    url: str = ""  # carries the code, for a QR code
    expires_in_ms: int = 0
    poll_ms: int = 3000
    enrolled: Enrolled | None = None


class Credentials(Message, frozen=True):
    """`POST /api/node/v1/credentials`: a short-lived NATS user JWT bound to the node's own key."""

    jwt: str
    urls: tuple[str, ...]
    expires_unix_ms: int


class Renewal(Message, frozen=True):
    attempt: int
    fence: int


class Report(Message, frozen=True):
    """One finished execution. `record` is the signed meter record, kept byte for byte by the server.

    The result is `result` itself when small (a safetensors file of at most INLINE_RESULT_MAX_BYTES), else it was uploaded
    before and the record's `output` names its digest.
    """

    attempt: int
    fence: int
    outcome: Literal["ok", "error", "cancelled"]
    record: bytes
    signature: bytes
    code: str = ""
    result: bytes = b""


class SyncRequest(Message, frozen=True):
    """Heartbeat, reports and lease renewals of one node. `seq` rises strictly, also across restarts."""

    node: str
    seq: int
    available: bool
    reason: str = ""  # why not available: a reason code of the agent's policy
    capacity: int = 0  # leases that the node would hold in all, running ones included
    running: tuple[Renewal, ...] = ()
    reports: tuple[Report, ...] = ()
    policy_version: int = 0
    hardware: Hardware | None = None  # on the first sync after a start
    health: Health | None = None
    agent_version: str = ""
    chain: str = ""  # the answer to a `chain`: hash of the record after which this agent goes on
    version: int = VERSION


class Lease(Message, frozen=True):
    """Permission to run one unit until it expires; `expires_in_ms` counts from receipt, so clocks need not agree."""

    attempt: int
    fence: int
    expires_in_ms: int
    items: int
    batch: int  # items of one session run, in order, the last one shorter: copies agree only if all do the same
    model_sha256: str
    model_bytes: int
    input_sha256: str
    input_bytes: int
    outputs: tuple[str, ...]
    memory_bytes: int
    time_limit_ms: int
    grant: str  # short-lived, for these two digests and this node


class Ack(Message, frozen=True):
    """The server's answer to one report. `refused` is final too: the agent must not send it again."""

    attempt: int
    fence: int
    status: Literal["accepted", "duplicate", "refused"]
    code: str = ""


class Cancel(Message, frozen=True):
    attempt: int
    fence: int
    code: str  # "consent_withdrawn", "lease_lost", "job_cancelled", ...


class Chain(Message, frozen=True):
    """The newest record that the server keeps of a node whose suspension was lifted; the node's own, as it signed it."""

    record: bytes
    signature: bytes


class SyncResponse(Message, frozen=True):
    """The answer, sent only after the request's effects are durable. `error` set means nothing was written."""

    seq: int
    acks: tuple[Ack, ...] = ()
    leases: tuple[Lease, ...] = ()
    cancels: tuple[Cancel, ...] = ()
    withheld: str = ""  # why the node is offered nothing: "consent_refused", "node_suspended", ...
    policy: Policy | None = None
    # After a suspension: go on behind this record of yours, and say so with `chain`. Nothing is offered before.
    chain: Chain | None = None
    share: tuple[str, ...] = ()  # purposes beyond running jobs that the owner consents to: what may be told besides
    next_sync_ms: int = 5000
    lease_ms: int = 15000  # what a renewal buys, from when the sync was sent
    error: str = ""
    message: str = ""
    version: int = VERSION


class Push(Message, frozen=True):
    """Server to node, on `cmd.<node id>`."""

    leases: tuple[Lease, ...] = ()
    cancels: tuple[Cancel, ...] = ()
    version: int = VERSION


class Withdrawal(Message, frozen=True):
    """`POST /api/node/v1/withdrawals`: the person at the car withdraws a consent; signed like every request of a node."""

    purpose: str = "run_jobs"
    version: int = VERSION


class Withdrawn(Message, frozen=True):
    """What the withdrawal was recorded as. `record` is the receipt's id; "" when there was no consent to withdraw."""

    record: str
    state: str


class MeterPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a node signs for each execution. `seq` and `prev` chain a node's records, so that a gap shows.

    `compute_ms` is what `compute_method` says ("cpu_time": user + system time of the sandboxed child);
    `energy_mwh` is milliwatt-hours by `energy_method`: "rapl", "nvml", "ina3221" (counters and sensors of the computer), or
    "model" (class power x compute time).
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
    """MessagePack bytes of a message."""
    return _packer.encode(message)


def unpack_enrolment(data: bytes) -> Enrolment:
    """Raises msgspec.DecodeError (a ValueError), as all of these, when the bytes are not such a message."""
    return _decoded(_enrolment.decode, data)


def unpack_pairing(data: bytes) -> Pairing:
    return _decoded(_pairing.decode, data)


def unpack_withdrawal(data: bytes) -> Withdrawal:
    return _decoded(_withdrawal.decode, data)


def unpack_request(data: bytes) -> SyncRequest:
    return _decoded(_sync_request.decode, data)


def unpack_response(data: bytes) -> SyncResponse:
    return _decoded(_sync_response.decode, data)


def unpack_push(data: bytes) -> Push:
    return _decoded(_push.decode, data)


def unpack_meter(record: bytes) -> MeterPayload:
    return _decoded(_meter.decode, record)


def _decoded(decode: Callable[[bytes], M], data: bytes) -> M:
    """Broken UTF-8 and endless nesting are broken messages too, whatever msgspec calls them."""
    try:
        return decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"{type(error).__name__} in a message") from error


def meter_bytes(payload: MeterPayload) -> bytes:
    """The canonical bytes that are signed: JSON, keys sorted, no white space."""
    return _canonical.encode(payload)


def meter_hash(record: bytes) -> str:
    return hashlib.sha256(record).hexdigest()


def signed_bytes(record: bytes) -> bytes:
    """Domain-separated message for Ed25519, so that a record can never pass for another kind of signature."""
    return METER_DOMAIN + record


_enrolment = msgspec.msgpack.Decoder(Enrolment)
_pairing = msgspec.msgpack.Decoder(Pairing)
_withdrawal = msgspec.msgpack.Decoder(Withdrawal)
_sync_request = msgspec.msgpack.Decoder(SyncRequest)
_sync_response = msgspec.msgpack.Decoder(SyncResponse)
_push = msgspec.msgpack.Decoder(Push)
_meter = msgspec.json.Decoder(MeterPayload)


def sync_subject(node: str) -> str:
    return f"node.{node}.sync"


def command_subject(node: str) -> str:
    return f"cmd.{node}"


def inbox_prefix(node: str) -> str:
    return f"_INBOX_{node}"
