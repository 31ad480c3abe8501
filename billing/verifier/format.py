"""The files of a package and their fields.

The site writes packages with these same structs, so reader and writer always agree. Every number has bounds and every
text a pattern or a length: anything else is refused before it is used in a computation.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MANIFEST, SEAL, README = "manifest.json", "manifest.sig.json", "README.txt"
RECORDS, VOIDS = "records.jsonl", "voids.jsonl"
OCMF_RECORDS, OCMF_KEY = "ocmf/records.ocmf", "ocmf/public_key.pem"
# The manifest contains the hashes of these files, and the platform signs the manifest.
SEALED_FILES = (README, RECORDS, VOIDS, OCMF_RECORDS, OCMF_KEY)
FILES = (MANIFEST, SEAL, *SEALED_FILES)
SIGNING_DOMAIN = b"driveway-statement-v1\n"

Id = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")]
OptionalId = Annotated[str, Meta(pattern=r"\A([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?\Z")]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Key = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Signature = Annotated[str, Meta(pattern=r"\A[0-9a-f]{128}\Z")]
Currency = Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z")]
Day = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
Moment = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(Z|\+00:00)\Z")]
Text = Annotated[str, Meta(max_length=400)]
Money = Annotated[int, Meta(ge=-(10**17), le=10**17)]  # micro-units: a hundred billion of any currency
Amount = Annotated[int, Meta(ge=0, le=10**17)]
Cost = Annotated[int, Meta(ge=0, le=10**18)]  # nano-units
Quantity = Annotated[int, Meta(ge=0, le=10**17)]
Price = Annotated[int, Meta(ge=0, le=10**15)]
Permille = Annotated[int, Meta(ge=0, le=10**9)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all structs: immutable, and an unknown field is an error."""


class Prices(Strict, frozen=True):
    """The order's prices in micro-units, fixed when it was made."""

    currency: Currency
    micro_per_hour: Price
    micro_per_kwh: Price
    owner_share_permille: Annotated[int, Meta(ge=0, le=1000)]


class Amounts(Strict, frozen=True):
    """What was paid for one attempt."""

    owner_micro: Amount


class UsageData(Strict, frozen=True):
    """What was billed for one attempt."""

    compute_ms: Quantity
    energy_mwh: Quantity
    items: Number
    attempt: Number
    prices: Prices
    amounts: Amounts


class UsageEvent(Strict, frozen=True):
    """A CloudEvents 1.0 envelope (billing/usage/events.py)."""

    specversion: Literal["1.0"]
    id: Id
    source: Text
    type: Literal["driveway.usage.recorded.v1"]
    time: Moment
    subject: Id
    datacontenttype: Literal["application/json"]
    data: UsageData


class Bound(Strict, frozen=True):
    """The figures that limit what is billed, of the work unit, the model's trial run, the order and the class."""

    items: Number
    us_per_item: Number
    slowness_permille: Permille
    paid_time_permille: Permille
    power_mw: Number


class Costs(Strict, frozen=True):
    """The owner's own costs of energy and wear: for information only, they are not part of any payment.

    `..._from` is "rules" if the owner's present rules give this price, and "settled" if the rules have changed since:
    then the price is computed back from the cost that was noted when the work was settled.
    """

    tariff_micro_per_kwh: Price
    tariff_from: Literal["rules", "settled"]
    energy_cost_nano: Cost
    wear_micro_per_kwh: Price
    wear_from: Literal["rules", "settled"]
    wear_nano: Cost


class LineKey(Strict, frozen=True):
    """The line of the statement that a record is part of."""

    kind: Text
    vehicle: OptionalId
    hardware_class: Text
    service_month: Day


class Record(Strict, frozen=True):
    """One line of records.jsonl: what a car signed, and what was billed and paid for it."""

    event: UsageEvent
    node: Id
    seq: Number
    record: Annotated[str, Meta(max_length=12_000)]  # base64 of the signed bytes
    signature: Signature
    bound: Bound
    costs: Costs
    transfer: Id
    line: LineKey


class Void(Strict, frozen=True):
    """One line of voids.jsonl: the void of a record that was paid before, with that record."""

    id: Id
    time: Moment
    reason: Text
    transfer: Id
    original: Record


class Node(Strict, frozen=True):
    """A car's computer: its public key, and when it was enrolled at the platform."""

    id: Id
    vehicle: Id
    public_key: Key
    enrolled_at: Moment


class StatementFigures(Strict, frozen=True):
    """The statement's period and sums."""

    id: Id
    number: Number
    currency: Currency
    period_start_at: Moment
    period_end_at: Moment
    opening_micro: Money
    earned_micro: Money
    corrected_micro: Money
    other_micro: Money
    paid_out_micro: Money
    carried_micro: Money
    energy_cost_nano: Cost
    wear_nano: Cost
    compute_ms: Quantity
    energy_mwh: Quantity
    attempts: Number


class Line(Strict, frozen=True):
    """One line of the statement."""

    key: LineKey
    is_late: bool
    attempts: Number
    compute_ms: Quantity
    energy_mwh: Quantity
    amount_micro: Money
    energy_cost_nano: Cost
    wear_nano: Cost
    note: Text = ""


class Entry(Strict, frozen=True):
    """A transfer on the owner's account. `amount_micro` is positive if it adds to what the owner is owed."""

    transfer: Id
    kind: Text
    amount_micro: Money
    posted_at: Moment


class Payout(Strict, frozen=True):
    """The payout of the statement."""

    id: Id
    amount_micro: Amount
    transfer: Id


class File(Strict, frozen=True):
    """Hash and size of a file of the package."""

    sha256: Sha256
    size_bytes: Number


class Gap(Strict, frozen=True):
    """A range of a computer's numbers without a record in the package, between two records that are in it.

    `why` are the platform's reasons, each with the number of records that it explains.
    """

    node: Id
    first_seq: Number
    last_seq: Number
    why: dict[Text, Number]


class Manifest(Strict, frozen=True):
    """The content of manifest.json."""

    format: Literal["driveway-statement-records"]
    version: Literal[1]
    issuer: Text
    owner: Id
    rule: Text
    statement: StatementFigures
    lines: list[Line]
    entries: list[Entry]
    payout: Payout | None
    nodes: list[Node]
    gaps: list[Gap]
    files: dict[str, File]


class Seal(Strict, frozen=True):
    """The platform's signature over the manifest's bytes."""

    algorithm: Literal["Ed25519"]
    key_id: Annotated[str, Meta(pattern=r"\Aed25519:[0-9a-f]{64}\Z")]
    public_key: Key
    signature: Signature
