"""The JSON-LD context of records and receipts: it maps each of our keys to a term of DPV or Dublin Core.

Every document contains its context, so that it can be read in thirty years without fetching anything.
"""

PREFIXES = {
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "loc": "https://w3id.org/dpv/loc#",
    "gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "dct": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dw": "https://driveway.example/ns/consent#",
}


def _term(name: str) -> dict[str, str]:
    """Return the mapping of a key whose value is itself a term or a compact IRI."""
    return {"@id": name, "@type": "@vocab"}


def _typed(name: str, kind: str) -> dict[str, str]:
    return {"@id": name, "@type": f"xsd:{kind}"}


RECORD: dict[str, object] = {
    **PREFIXES,
    "ConsentRecord": "dpv:ConsentRecord",
    "ConsentNotice": "dpv:ConsentNotice",
    # Header
    "schema_version": {"@id": "dct:conformsTo", "@type": "@id"},
    "record_id": "dct:identifier",
    "pii_principal_id": "dpv:hasDataSubject",
    "seq": _typed("dw:seq", "integer"),
    "vehicle": "dw:vehicle",
    "publisher": {"@id": "dct:publisher", "@type": "@id"},
    # Processing
    "privacy_notice": "dpv:hasNotice",
    "notice_id": "@id",
    "notice_version": _typed("dct:hasVersion", "integer"),
    "notice_sha256": "dw:noticeSha256",
    "title": "dct:title",
    "language": "dct:language",
    "purpose": _term("dpv:hasPurpose"),
    "purpose_type": _term("dw:purposeType"),
    "purpose_description": "dct:description",
    "lawful_basis": _term("dpv:hasLegalBasis"),
    "pii_information": "dpv:hasPersonalData",
    "pii_controllers": {"@id": "dpv:hasDataController", "@type": "@id"},
    "collection_method": _term("dpv:hasDataSource"),
    "processing_method": _term("dpv:hasProcessing"),
    "storage_locations": _term("dw:storageLocation"),
    "retention_period": _typed("dw:retentionPeriod", "duration"),
    "processing_locations": _term("dpv:hasLocation"),
    "geographic_restrictions": "dpv:hasRule",
    "service": "dpv:hasService",
    "jurisdiction": _term("dpv:hasJurisdiction"),
    "recipient_third_parties": {"@id": "dpv:hasRecipient", "@type": "@id"},
    "withdrawal_method": "dpv:hasConsentControl",
    "privacy_rights": _term("dpv:hasRight"),
    "authority_party": {"@id": "dpv:hasAuthority", "@type": "@id"},
    # Personal data
    "pii_type": _term("rdf:type"),
    "pii_attribute_id": "dct:subject",
    "pii_optional": _term("dpv:hasNecessity"),
    "sensitive_pii_category": _term("dw:sensitiveCategory"),
    "special_pii_category": _term("dw:specialCategory"),
    # Parties
    "parties": "dct:hasPart",
    "party_id": "@id",
    "party_name": "dpv:hasName",
    "party_address": "dpv:hasAddress",
    "party_contact": "dpv:hasContact",
    "party_type": _term("rdf:type"),
    "party_role": _term("dw:partyRole"),
    "url": {"@id": "dw:url", "@type": "@id"},
    # Event
    "event": "dct:provenance",
    "event_time": _typed("dct:date", "dateTime"),
    "validity_duration": _typed("dct:valid", "duration"),
    "expires_at": _typed("dw:expiresAt", "dateTime"),
    "entity_id": "dpv:isImplementedByEntity",
    "event_type": _term("dw:consentType"),
    "event_state": _term("dpv:hasConsentStatus"),
    "method": "dw:method",
    # Values
    "given": "dpv:ConsentGiven",
    "renewed": "dpv:RenewedConsentGiven",
    "refused": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
    "expired": "dpv:ConsentExpired",
    "run_jobs": "dw:run_jobs",
    "availability": "dw:availability",
    "region": "dw:region",
    "reliability": "dw:reliability",
    "experiments": "dw:experiments",
    "product_email": "dw:product_email",
}

RECEIPT: dict[str, object] = {
    **PREFIXES,
    "ConsentReceipt": "dpv:ConsentReceipt",
    "schema_version": {"@id": "dct:conformsTo", "@type": "@id"},
    "receipt_id": "dct:identifier",
    "record": "dct:source",
    "prev_hash": "dw:previousHash",
    "hash": "dw:hash",
    "signature": "dw:signature",
    "key_id": "dw:keyId",
}

CHAIN: dict[str, object] = {
    **PREFIXES,
    "ConsentReceiptChain": "dw:ConsentReceiptChain",
    "schema_version": {"@id": "dct:conformsTo", "@type": "@id"},
    "statement": "dw:statement",
    "pii_principal_id": "dpv:hasDataSubject",
    "count": _typed("dw:count", "integer"),
    "head_hash": "dw:headHash",
    "issued_at": _typed("dct:issued", "dateTime"),
    "signature": "dw:signature",
    "key_id": "dw:keyId",
    "receipts": {"@id": "dct:hasPart", "@container": "@list"},
}
