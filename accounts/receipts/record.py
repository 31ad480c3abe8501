"""The consent record as JSON-LD (W3C dpv-27560).

It has every field that ISO/IEC TS 27560:2023 or the GDPR makes mandatory.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.receipts.context import RECORD
from accounts.receipts.purposes import FACTS, RIGHTS, THIRD_PARTIES

SCHEMA = "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"
NO_TIME = "P0D"  # validity of an act that allows nothing


@dataclass(frozen=True)
class Controller:
    """The organization responsible for the processing, its country, and the authority that takes complaints."""

    name: str
    address: str
    contact: str
    url: str
    country: str
    authority_name: str
    authority_address: str
    authority_contact: str
    authority_url: str


@dataclass(frozen=True)
class Notice:
    """The consent text that the person was shown."""

    purpose: str
    version: int
    language: str
    title: str
    sha256: str
    validity_days: int


@dataclass(frozen=True)
class Act:
    """One act of consent: who decided what and when. `expires_at` is set only for an act that gives consent."""

    record_id: UUID
    seq: int
    owner: UUID
    vehicle: UUID | None
    country: str
    state: str
    method: str
    entity: str
    at: datetime
    expires_at: datetime | None


def record_fields(act: Act, notice: Notice, controller: Controller) -> dict[str, Any]:
    """Return the whole record. It identifies the person by id only.

    The trigger `accounts_consent_chain` compares `purpose`, `event` and the ids with the row's columns.
    """
    return {
        "@context": RECORD,
        "@type": "ConsentRecord",
        **_header(act, controller),
        **_processing(act, notice, controller),
        "pii_information": _personal_data(notice.purpose),
        "parties": _parties(notice.purpose, controller),
        "event": _event(act, notice),
    }


def canonical(fields: dict[str, Any]) -> bytes:
    """Return JSON in UTF-8 with sorted keys and no white space: the form of RFC 8785, for values without floats."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _header(act: Act, controller: Controller) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA,
        "record_id": str(act.record_id),
        "pii_principal_id": str(act.owner),
        "seq": act.seq,
        "vehicle": str(act.vehicle) if act.vehicle else None,
        "publisher": controller.url,
    }


def _processing(act: Act, notice: Notice, controller: Controller) -> dict[str, Any]:
    facts, data_centre = FACTS[notice.purpose], f"loc:{controller.country}"
    return {
        "privacy_notice": {
            "@type": "ConsentNotice",
            "notice_id": f"{controller.url}/notices/{notice.purpose}/{notice.version}?language={notice.language}",
            "notice_version": notice.version,
            "title": notice.title,
        },
        "notice_sha256": notice.sha256,
        "language": notice.language,
        "purpose": notice.purpose,
        "purpose_type": facts.kind,
        "purpose_description": facts.description,
        "lawful_basis": "gdpr:A6-1-a",
        "pii_controllers": [controller.url],
        "collection_method": facts.source,
        "processing_method": list(facts.processing),
        "storage_locations": [data_centre],
        "retention_period": facts.retention,
        "processing_locations": [
            f"loc:{act.country}" if place == "vehicle" else data_centre for place in facts.processed_at
        ],
        "geographic_restrictions": "Kept in the storage location; goes elsewhere only to the recipients named here.",
        "service": facts.service,
        "jurisdiction": f"loc:{act.country}",
        "recipient_third_parties": list(facts.recipients),
        "withdrawal_method": _withdrawal(notice.purpose, controller),
        "privacy_rights": list(RIGHTS),
        "authority_party": controller.authority_url,
    }


def _withdrawal(purpose: str, controller: Controller) -> str:
    page = f"One click at {controller.url}/consents/, where it was given"
    if purpose == "product_email":
        return f"{page}, or in any such mail."
    return f"{page}, or `driveway-agent withdraw` at the car."


def _personal_data(purpose: str) -> list[dict[str, Any]]:
    return [
        {
            "pii_type": data.category,
            "pii_attribute_id": data.attribute,
            "pii_optional": "dpv:Required" if data.required else "dpv:Optional",
            "sensitive_pii_category": [],
            "special_pii_category": [],
        }
        for data in FACTS[purpose].data
    ]


def _parties(purpose: str, controller: Controller) -> list[dict[str, str]]:
    return [
        {
            "party_id": controller.url,
            "party_name": controller.name,
            "party_address": controller.address,
            "party_contact": controller.contact,
            "party_type": "dpv:LegalEntity",
            "party_role": "dpv:DataController",
            "url": controller.url,
        },
        {
            "party_id": controller.authority_url,
            "party_name": controller.authority_name,
            "party_address": controller.authority_address,
            "party_contact": controller.authority_contact,
            "party_type": "dpv:GovernmentalOrganisation",
            "party_role": "dpv:DataProtectionAuthority",
            "url": controller.authority_url,
        },
        *(THIRD_PARTIES[recipient] for recipient in FACTS[purpose].recipients),
    ]


def _event(act: Act, notice: Notice) -> dict[str, Any]:
    return {
        "event_time": act.at.isoformat(),
        "validity_duration": f"P{notice.validity_days}D" if act.expires_at else NO_TIME,
        "expires_at": act.expires_at.isoformat() if act.expires_at else None,
        "entity_id": act.entity,
        # The kind of consent that the act gives or ends. The site uses no other kind.
        "event_type": "dpv:ExplicitlyExpressedConsent",
        "event_state": act.state,
        "method": act.method,
    }
