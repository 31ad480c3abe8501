"""The personal data in the tables of accounts, in plain words. core/privacy.py defines the types."""

from accounts.models import Purpose
from core.privacy import (
    CONTRACT,
    LEGAL,
    SECURITY,
    Column,
    Erasure,
    Group,
    Table,
)

ACCOUNT = "As long as you have the account"
CHAIN = "At least seven years: your consents are proof of what you allowed"
IDS_ONLY = "a number without a person: records that must be kept point to it"
EVIDENCE = "proof of what was allowed when, by account numbers only; a signed chain breaks if a link is taken out"

USER = Table(
    model="accounts.User",
    title="Sign-in",
    group=Group.YOU,
    owner="owner",
    purpose=CONTRACT,
    retention=ACCOUNT,
    erasure=Erasure.BLANK,
    why=IDS_ONLY,
    columns={
        "id": Column("Number of your sign-in"),
        # The erasure writes an address that cannot exist instead of "", since addresses must be unique.
        "email": Column("E-mail address", ""),
        "name": Column("Name, as you typed it", ""),
        "password": Column("Hash of your password", "!", purpose=SECURITY, secret=True),
        "last_login": Column("When you last signed in", None, purpose=SECURITY),
        "is_active": Column("Whether you may sign in", False, purpose=SECURITY),
        "is_staff": Column("Whether you work for Driveway", purpose=SECURITY),
        "is_superuser": Column("Whether you may do everything in the back office", purpose=SECURITY),
        "created_at": Column("When you signed up"),
    },
)

OWNER = Table(
    model="accounts.Owner",
    title="Owner account",
    group=Group.YOU,
    owner="",
    purpose=CONTRACT,
    retention=ACCOUNT,
    erasure=Erasure.BLANK,
    why=IDS_ONLY,
    columns={
        "id": Column("Number of your account"),
        "public_id": Column("Account id, as records and receipts name it"),
        "user_id": Column("Your sign-in"),
        "name": Column("Name of the account", ""),
        "country": Column("Country", "", purpose=LEGAL),
        "currency": Column("Currency that you are paid in", why="the ledger's amounts are in it"),
        "time_zone": Column("Time zone", "UTC"),
        "locale": Column("How dates and numbers are written for you", "en-US"),
        "mails_off": Column("Mails that you do not want", []),
        "deactivated_at": Column("When you closed the account"),
        "erased_at": Column("When you were erased"),
        "created_at": Column("When the account was made"),
    },
)

EMAIL = Table(
    model="account.EmailAddress",
    title="E-mail addresses",
    group=Group.YOU,
    owner="user__owner",
    purpose=CONTRACT,
    retention=ACCOUNT,
    erasure=Erasure.DELETE,
    columns={
        "id": Column("Number of the entry"),
        "user_id": Column("Your sign-in"),
        "email": Column("E-mail address"),
        "verified": Column("Whether you confirmed it"),
        "primary": Column("Whether mails go there"),
    },
)

EMAIL_CONFIRMATION = Table(
    model="account.EmailConfirmation",
    title="Confirmations of an e-mail address under way",
    group=Group.YOU,
    owner="email_address__user__owner",
    purpose=SECURITY,
    retention="30 days",
    erasure=Erasure.DELETE,
    columns={
        "id": Column("Number of the entry"),
        "email_address_id": Column("The address"),
        "created": Column("When it was asked for"),
        "sent": Column("When the mail went out"),
        "key": Column("Key in the mailed link", secret=True),
    },
)

SECOND_FACTOR = Table(
    model="mfa.Authenticator",
    title="Second factors of sign-in",
    group=Group.YOU,
    owner="user__owner",
    purpose=SECURITY,
    retention=ACCOUNT,
    erasure=Erasure.DELETE,
    columns={
        "id": Column("Number of the entry"),
        "user_id": Column("Your sign-in"),
        "type": Column("Kind: app, security key or recovery codes"),
        "data": Column("Its secret", secret=True),
        "created_at": Column("When you added it"),
        "last_used_at": Column("When you last used it"),
    },
)

MAIL = Table(
    model="accounts.Mail",
    title="Mails to you",
    group=Group.YOU,
    owner="user__owner",
    purpose=CONTRACT,
    retention="180 days",
    erasure=Erasure.DELETE,
    columns={
        "id": Column("Number of the mail"),
        "user_id": Column("Your sign-in: the address is read when the mail goes out"),
        "kind": Column("What it is about"),
        "context": Column("Further values for the text"),
        "dedupe_key": Column("Key that prevents sending it twice"),
        "due_at": Column("When it may be sent"),
        "attempts": Column("How often sending was tried"),
        "sent_at": Column("When it was sent"),
        "dropped_at": Column("When sending was given up"),
        "dropped_code": Column("Why"),
        "created_at": Column("When it was written"),
    },
)

VEHICLE = Table(
    model="accounts.Vehicle",
    title="The vehicle",
    group=Group.VEHICLES,
    owner="owner",
    vehicle="self",
    purpose=CONTRACT,
    retention=ACCOUNT,
    erasure=Erasure.BLANK,
    why=IDS_ONLY,
    columns={
        "id": Column("Number of the vehicle"),
        "public_id": Column("Vehicle id, as records and receipts name it"),
        "owner_id": Column("Your account"),
        "label": Column("The name that you gave it", ""),
        "make_model": Column("Make and model, as you typed them", ""),
        "kind": Column(
            "What its computer is: in a box, the carmaker's, or simulated", why="says which figures are simulated"
        ),
        "vin_hash": Column(
            "Keyed hash of the VIN: finds a car that is registered twice; the VIN itself is not kept", ""
        ),
        "vin_last4": Column("Last four characters of the VIN, so that you recognize the car", ""),
        "region": Column(
            "Region that you chose", "", purpose=Purpose.REGION, retention="Until you withdraw that consent"
        ),
        "retired_at": Column("When the vehicle left your account"),
        "retired_code": Column("Why: sold, removed, released or erased"),
        "created_at": Column("When you added it"),
    },
)

POLICY = Table(
    model="accounts.OwnerPolicy",
    title="When the car may work",
    group=Group.RULES,
    owner="vehicle__owner",
    vehicle="vehicle",
    purpose=Purpose.RUN_JOBS,
    retention=ACCOUNT,
    erasure=Erasure.BLANK,  # not deleted: the site must always have rules to send to a node
    why=IDS_ONLY,
    columns={
        "id": Column("Number of the rules"),
        "vehicle_id": Column("The vehicle"),
        "version": Column("How often you changed them"),
        "preset": Column("The preset that you chose", ""),
        "time_zone": Column("Time zone of the schedule", ""),
        "windows": Column("Weekly schedule", []),
        "ready_by": Column("When the car must be charged", []),
        "ready_by_percent": Column("How full it must be then: a rule of yours, not a reading", 80),
        "ready_by_lead_minutes": Column("How long before it work stops", 180),
        "day_share_percent": Column("Largest share of a day spent working", 100),
        "previous": Column("The rules before the last change, so that it can be undone", None),
        "rules_version": Column("How often your rules were changed", 1),
        "plugged_in_only": Column("Work only while plugged in", True),
        "charge_stop_percent": Column("Charge at which work stops: a rule of yours, not a reading", 50),
        "charge_resume_percent": Column("Charge at which work resumes: a rule of yours, not a reading", 55),
        "heat_stop_c": Column("Heat at which work stops: a rule of yours, not a reading", 45),
        "heat_resume_c": Column("Heat at which work resumes: a rule of yours, not a reading", 40),
        "network": Column("Networks that may be used", "wifi"),
        "data_cap_mb_per_month": Column("Mobile data a month at most", 1000),
        "power_rule": Column("Which power may be used", "any"),
        "price_limit_micro_per_kwh": Column("Price of power at most", 150_000),
        "tariff_micro_per_kwh": Column("What you pay for power", 180_200),
        "tariff_windows": Column("What you pay for power at which time", []),
        "wear_micro_per_kwh": Column("What battery wear costs you", 50_000),
        "pause": Column("Whether you paused the car", ""),
        "paused_until_at": Column("Until when", None),
    },
)

CONSENT_RECORD = Table(
    model="accounts.ConsentRecord",
    title="Your consent acts, each a signed record",
    group=Group.CONSENTS,
    owner="owner",
    purpose=LEGAL,
    retention=CHAIN,
    erasure=Erasure.KEEP,
    why=EVIDENCE,
    columns={
        "id": Column("Number of the record"),
        "public_id": Column("Record id, as the receipt names it"),
        "owner_id": Column("Your account"),
        "vehicle_id": Column("The vehicle that it is about"),
        "notice_id": Column("The text that you were shown"),
        "actor_id": Column("The sign-in that decided"),
        "purpose": Column("Purpose"),
        "state": Column("What was decided"),
        "method": Column("Where: the portal, the car, a mailed link or automatically"),
        "at": Column("When"),
        "expires_at": Column("Until when it holds"),
        "seq": Column("Place in your chain of records"),
        "payload": Column("The record itself, byte for byte, with account, vehicle and country"),
        "prev_hash": Column("Hash of the record before it"),
        "hash": Column("Its own hash"),
        "signature": Column("Driveway's signature"),
        "created_at": Column("When it was written"),
    },
)

CONSENT_CURRENT = Table(
    model="accounts.ConsentCurrent",
    title="Your present consents",
    group=Group.CONSENTS,
    owner="owner",
    purpose=LEGAL,
    retention=CHAIN,
    erasure=Erasure.KEEP,
    why=EVIDENCE,
    columns={
        "id": Column("Number of the entry"),
        "owner_id": Column("Your account"),
        "vehicle_id": Column("The vehicle"),
        "purpose": Column("Purpose"),
        "notice_version": Column("Version of the text"),
        "record_id": Column("The latest record"),
        "state": Column("What was decided last"),
        "expires_at": Column("Until when"),
    },
)

ACCESS = Table(
    model="accounts.AccessEvent",
    title="Who looked at your data",
    group=Group.TRAIL,
    owner="owner",
    purpose=LEGAL,
    retention="At least three years",
    erasure=Erasure.KEEP,
    why="proof of who looked, by account numbers only",
    columns={
        "id": Column("Number of the entry"),
        "owner_id": Column("Your account"),
        "vehicle_id": Column("The vehicle, if it was about one"),
        "actor_id": Column("Who looked; empty: the system itself"),
        "kind": Column("Read by staff, or exported by the system"),
        "what": Column("What was looked at"),
        "reason": Column("Why, in the words of who looked", why="the category stays, the words are destroyed"),
        "at": Column("When"),
    },
)

AUDIT = Table(
    model="accounts.AuditEvent",
    title="What you did",
    group=Group.TRAIL,
    owner="actor__owner",
    purpose=SECURITY,
    retention="At least seven years",
    erasure=Erasure.KEEP,
    why="proof of who did what, by account numbers only",
    columns={
        "id": Column("Number of the entry"),
        "actor_id": Column("Who acted"),
        "action": Column("What was done"),
        "subject": Column("To what, by its id"),
        "details": Column("Details of the act", why="its time and kind stay, the details are destroyed"),
        "at": Column("When"),
    },
)

ADMIN_LOG = Table(
    model="admin.LogEntry",
    title="What you did in the back office",
    group=Group.TRAIL,
    owner="user__owner",
    purpose=SECURITY,
    retention="Two years",
    erasure=Erasure.BLANK,
    why="proof of what staff did, by account numbers only",
    columns={
        "id": Column("Number of the entry"),
        "action_time": Column("When"),
        "user_id": Column("Who acted"),
        "content_type_id": Column("Kind of object"),
        "object_id": Column("Its number"),
        "object_repr": Column("Its name then", "(erased)"),
        "action_flag": Column("Added, changed or deleted"),
        "change_message": Column("What changed", ""),
    },
)

EXPORT = Table(
    model="accounts.DataExport",
    title="Exports that you asked for",
    group=Group.TRAIL,
    owner="owner",
    purpose=LEGAL,
    retention="The file seven days, this entry with the account's trail",
    erasure=Erasure.KEEP,
    why="shows that the request was met; the file is destroyed",
    columns={
        "id": Column("Number of the export"),
        "public_id": Column("Its id"),
        "owner_id": Column("Your account"),
        "status": Column("Where it stands"),
        "status_code": Column("Why, if it failed"),
        "ready_at": Column("When it was ready"),
        "expires_at": Column("When the file is deleted"),
        "size_bytes": Column("Size of the file"),
        "sha256": Column("Digest of the file"),
        "downloaded_at": Column("When you last downloaded it"),
        "created_at": Column("When you asked"),
    },
)

ERASURE = Table(
    model="accounts.ErasureRequest",
    title="Requests to be erased",
    group=Group.TRAIL,
    owner="owner",
    purpose=LEGAL,
    retention="For ever: it is the proof that you were erased",
    erasure=Erasure.KEEP,
    why="the proof that you were erased; it names no person",
    columns={
        "id": Column("Number of the request"),
        "public_id": Column("Its id"),
        "owner_id": Column("Your account"),
        "status": Column("Where it stands"),
        "status_code": Column("Why"),
        "due_at": Column("When it is carried out"),
        "money_until_at": Column("Until when it waits for what is owed to you"),
        "ended_at": Column("When it was carried out or cancelled"),
        "proof": Column("What was destroyed, kept and searched"),
        "proof_signature": Column("Driveway's signature on it"),
        "created_at": Column("When you asked"),
    },
)

TABLES = (
    USER,
    OWNER,
    EMAIL,
    EMAIL_CONFIRMATION,
    SECOND_FACTOR,
    MAIL,
    VEHICLE,
    POLICY,
    CONSENT_CURRENT,
    CONSENT_RECORD,
    ACCESS,
    AUDIT,
    EXPORT,
    ERASURE,
    ADMIN_LOG,
)

# Tables with foreign keys to users that are not about owners.
NOT_ABOUT_OWNERS = {
    "accounts.Membership": "Who works for which customer; an owner who does must leave that role before an erasure",
    "accounts.Operator": "Staff; an owner who is staff must leave that role before an erasure",
    "accounts.ApiKey": "A customer's key, and the customer's person who made it",
    "accounts.User_groups": "Groups of staff; Driveway uses none",
    "accounts.User_user_permissions": "Permissions of single members of staff; Driveway uses none",
}
