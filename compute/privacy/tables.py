"""The data that compute holds about owners' vehicles and work, in plain words (terms: core/privacy.py)."""

from accounts.models import Purpose
from core.privacy import LEGAL, SECURITY, Column, Erasure, Group, Table

PAID = "evidence beneath money that was paid, by account numbers only"
RECORDS = "At least ten years: what was paid rests on it (tax law)"
DAYS_90 = "90 days, or until you withdraw that consent"

NODE = Table(
    model="compute.Node",
    title="The car's computer",
    group=Group.VEHICLES,
    owner="vehicle__owner",
    vehicle="vehicle",
    purpose=Purpose.RUN_JOBS,
    retention=RECORDS,
    erasure=Erasure.KEEP,
    why="its key verifies the signed records of paid work; it names no person",
    columns={
        "id": Column("Number of the computer"),
        "public_id": Column("Its id, as signed records name it"),
        "vehicle_id": Column("The vehicle"),
        "hardware_class_id": Column("Its class: processor and software whose results compare"),
        "status": Column("Whether it may work"),
        "status_code": Column("Why not"),
        "public_key": Column("Public half of the key made in the car"),
        "cores": Column("Processor cores"),
        "layers": Column("Layers of the sandbox that are active"),
        "agent_version": Column("Version of the program"),
        "valid_streak": Column("Valid results in a row, on which our trust is based"),
        "cost_micro_per_hour": Column("What an hour of work costs you, by your tariff and wear"),
        "link_revoked_at": Column("Since when its old credentials are void", purpose=SECURITY),
        "link_expires_at": Column("When its credentials expire", purpose=SECURITY),
        "created_at": Column("When it was connected"),
    },
)

PRESENCE = Table(
    model="compute.NodePresence",
    title="The car's last message",
    group=Group.VEHICLES,
    owner="node__vehicle__owner",
    vehicle="node__vehicle",
    purpose=Purpose.RUN_JOBS,
    retention="Overwritten each time; no history",
    erasure=Erasure.DELETE,  # without this row every sync is refused, so a car that still runs its agent adds no data
    columns={
        "node_id": Column("The computer"),
        "seq": Column("Number of its last message"),
        "available": Column("Whether it is available"),
        "reason": Column("Code of the reason why not"),
        "capacity": Column("How many pieces of work it can hold"),
        "carrier": Column("How it is connected: NATS or HTTPS"),
        "policy_version": Column("Which version of your rules it has"),
        "last_sync_at": Column("When it sent its last message"),
        "meter_seq": Column("Number of its newest signed record"),
        "meter_hash": Column("Hash of its newest signed record"),
        "resuming": Column("Whether it must still confirm its newest record, after we suspended it"),
    },
)

NODE_EVENT = Table(
    model="compute.NodeEvent",
    title="Changes of the computer's state",
    group=Group.VEHICLES,
    owner="node__vehicle__owner",
    vehicle="node__vehicle",
    purpose=SECURITY,
    retention=RECORDS,
    erasure=Erasure.KEEP,
    why=PAID,
    columns={
        "id": Column("Number of the entry"),
        "node_id": Column("The computer"),
        "from_status": Column("From"),
        "to_status": Column("To"),
        "reason": Column("Code of the reason"),
        "at": Column("When"),
    },
)

ENROLMENT = Table(
    model="compute.EnrolmentCode",
    title="Codes that connect a computer",
    group=Group.VEHICLES,
    owner="vehicle__owner",
    vehicle="vehicle",
    purpose=SECURITY,
    retention="30 days after they expire",
    erasure=Erasure.DELETE,
    columns={
        "id": Column("Number of the code"),
        "vehicle_id": Column("The vehicle"),
        "code_sha256": Column("Hash of the code", secret=True),
        "expires_at": Column("When it expires"),
        "used_at": Column("When it was used"),
        "created_at": Column("When you asked for it"),
    },
)

PAIRING = Table(
    model="compute.Pairing",
    title="Pairings",
    group=Group.VEHICLES,
    owner="node__vehicle__owner",
    vehicle="node__vehicle",
    purpose=SECURITY,
    retention="A day after they expire",
    erasure=Erasure.DELETE,
    columns={
        "id": Column("Number of the pairing"),
        "node_id": Column("The computer that it became"),
        "public_key": Column("Public half of the key made in the car"),
        "code_sha256": Column("Hash of the code", secret=True),
        "hardware": Column("What the computer is"),
        "agent_version": Column("Version of the program"),
        "expires_at": Column("When it expires"),
        "created_at": Column("When it began"),
    },
)

AVAILABILITY = Table(
    model="compute.AvailabilitySpan",
    title="When the car was available",
    group=Group.VEHICLES,
    owner="vehicle__owner",
    vehicle="vehicle",
    purpose=Purpose.AVAILABILITY,
    retention=DAYS_90,
    erasure=Erasure.DELETE,
    columns={
        "id": Column("Number of the entry"),
        "node_id": Column("The computer"),
        "vehicle_id": Column("The vehicle"),
        "available": Column("Whether it was available"),
        "reason": Column("Code of the reason why not"),
        "started_at": Column("From"),
        "ended_at": Column("To"),
    },
)

HEALTH = Table(
    model="compute.HealthDay",
    title="Health of the car's computer, by day",
    group=Group.VEHICLES,
    owner="vehicle__owner",
    vehicle="vehicle",
    purpose=Purpose.RELIABILITY,
    retention=DAYS_90,
    erasure=Erasure.DELETE,
    columns={
        "id": Column("Number of the entry"),
        "node_id": Column("The computer"),
        "vehicle_id": Column("The vehicle"),
        "day": Column("Day"),
        "reports_cool": Column("How often it reported: cool"),
        "reports_warm": Column("How often it reported: warm"),
        "reports_hot": Column("How often it reported: hot"),
        "units_failed": Column("Work that failed"),
    },
)

ATTEMPT = Table(
    model="compute.Attempt",
    title="Work given to your cars",
    group=Group.WORK,
    owner="vehicle__owner",
    purpose=Purpose.RUN_JOBS,
    retention=RECORDS,
    erasure=Erasure.KEEP,
    why=PAID,
    columns={
        "id": Column("Number of the attempt"),
        "unit_id": Column("The piece of work"),
        "job_id": Column("The customer's job"),
        "node_id": Column("The computer"),
        "vehicle_id": Column("The vehicle"),
        "owner_id": Column("Your account"),
        "consent_record_id": Column("The consent that allowed it"),
        "fence": Column("Number of the try"),
        "status": Column("How it ended"),
        "status_code": Column("Code of the reason"),
        "leased_at": Column("When it was given"),
        "expires_at": Column("When it expires unless renewed"),
        "delivered_at": Column("When it was sent to the car"),
        "reported_at": Column("When the car reported"),
        "ended_at": Column("When it ended"),
        "cancel_sent_at": Column("When the order to stop was sent to the car"),
        "result_sha256": Column("Digest of the customer's result"),
        "result": Column("The customer's result, if small; it belongs to the customer, not to you", secret=True),
    },
)

ATTEMPT_EVENT = Table(
    model="compute.AttemptEvent",
    title="Changes of an attempt's state",
    group=Group.WORK,
    owner="attempt__vehicle__owner",
    purpose=Purpose.RUN_JOBS,
    retention=RECORDS,
    erasure=Erasure.KEEP,
    why=PAID,
    columns={
        "id": Column("Number of the entry"),
        "attempt_id": Column("The attempt"),
        "from_status": Column("From"),
        "to_status": Column("To"),
        "reason": Column("Code of the reason"),
        "at": Column("When"),
    },
)

METER = Table(
    model="compute.MeterRecord",
    title="What the car signed about its work",
    group=Group.WORK,
    owner="node__vehicle__owner",
    purpose=LEGAL,
    retention=RECORDS,
    erasure=Erasure.KEEP,
    why=PAID,
    columns={
        "id": Column("Number of the record"),
        "node_id": Column("The computer"),
        "attempt_id": Column("The attempt"),
        "seq": Column("Place in the computer's chain of records"),
        "prev_hash": Column("Hash of the record before it"),
        "hash": Column("Its own hash"),
        "record": Column("The record itself, byte for byte"),
        "signature": Column("The car's signature"),
        "outcome": Column("How the work went"),
        "compute_ms": Column("Processor time, in milliseconds"),
        "energy_mwh": Column("Energy, in milliwatt-hours"),
        "energy_method": Column("How the energy was found"),
        "output_sha256": Column("Digest of the customer's result"),
        "received_at": Column("When it arrived"),
    },
)

CONFLICT = Table(
    model="compute.MeterConflict",
    title="Second records under a number that was used",
    group=Group.WORK,
    owner="node__vehicle__owner",
    purpose=LEGAL,
    retention=RECORDS,
    erasure=Erasure.KEEP,
    why=PAID,
    columns={
        "id": Column("Number of the row"),
        "first_id": Column("The record that came first"),
        "node_id": Column("The computer"),
        "seq": Column("Place in the computer's chain of records"),
        "hash": Column("Its hash"),
        "record": Column("The record itself, byte for byte"),
        "signature": Column("The car's signature"),
        "received_at": Column("When it arrived"),
    },
)

DECISION = Table(
    model="compute.NodeDecision",
    title="Our decisions about a computer that was suspended",
    group=Group.WORK,
    owner="node__vehicle__owner",
    purpose=LEGAL,
    retention=RECORDS,
    erasure=Erasure.KEEP,
    why=PAID,
    columns={
        "id": Column("Number of the row"),
        "public_id": Column("Its id"),
        "node_id": Column("The computer"),
        "through_id": Column("The newest of the conflicting records that it covers"),
        "kind": Column("What was decided"),
        "meter_seq": Column("Number of the record after which the computer continues"),
        "meter_hash": Column("Hash of that record"),
        "decided_by_id": Column("Who decided"),
        "idempotency_key": Column("Key of the form, so that it takes effect only once"),
        "created_at": Column("When"),
    },
)

USAGE = Table(
    model="compute.UsageRecord",
    title="Work that counts for pay",
    group=Group.WORK,
    owner="vehicle__owner",
    purpose=LEGAL,
    retention=RECORDS,
    erasure=Erasure.KEEP,
    why=PAID,
    columns={
        "id": Column("Number of the record"),
        "attempt_id": Column("The attempt"),
        "meter_record_id": Column("The car's signed record"),
        "job_id": Column("The customer's job"),
        "organization_id": Column("Number of the customer"),
        "owner_id": Column("Your account"),
        "vehicle_id": Column("The vehicle"),
        "node_id": Column("The computer"),
        "hardware_class_id": Column("Its class"),
        "is_canonical": Column("Whether the customer pays for it; otherwise it verified other work"),
        "items": Column("Items computed"),
        "compute_ms": Column("Processor time, in milliseconds"),
        "energy_mwh": Column("Energy, in milliwatt-hours"),
        "created_at": Column("When it was accepted"),
        "settled_at": Column("When it was paid"),
    },
)

TABLES = (
    NODE,
    PRESENCE,
    NODE_EVENT,
    ENROLMENT,
    PAIRING,
    AVAILABILITY,
    HEALTH,
    ATTEMPT,
    ATTEMPT_EVENT,
    METER,
    CONFLICT,
    DECISION,
    USAGE,
)

NOT_ABOUT_OWNERS = {
    "compute.InferenceJob": "What a customer ordered; the work of owners' cars for it is in attempts",
    "compute.InferenceJobEvent": "States of a customer's job",
    "compute.WorkUnit": "A slice of a customer's job; which car's result counts is in attempts and usage",
}
