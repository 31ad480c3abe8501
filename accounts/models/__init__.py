from accounts.models.access import AccessEvent
from accounts.models.api_keys import ApiKey, Scope
from accounts.models.audit import AuditEvent
from accounts.models.consents import (
    IN_FORCE,
    PERSONAL,
    VEHICLE_PURPOSES,
    ConsentCurrent,
    ConsentNotice,
    ConsentRecord,
    ConsentState,
    Purpose,
)
from accounts.models.idempotency import IdempotencyRecord
from accounts.models.mails import Mail
from accounts.models.operators import Operator
from accounts.models.organizations import Membership, Organization
from accounts.models.owners import Owner
from accounts.models.policies import OwnerPolicy
from accounts.models.privacy import DataExport, ErasureRequest
from accounts.models.states import StateTransition
from accounts.models.users import User
from accounts.models.vehicles import Vehicle

__all__ = [
    "IN_FORCE",
    "PERSONAL",
    "VEHICLE_PURPOSES",
    "AccessEvent",
    "ApiKey",
    "AuditEvent",
    "ConsentCurrent",
    "ConsentNotice",
    "ConsentRecord",
    "ConsentState",
    "DataExport",
    "ErasureRequest",
    "IdempotencyRecord",
    "Mail",
    "Membership",
    "Operator",
    "Organization",
    "Owner",
    "OwnerPolicy",
    "Purpose",
    "Scope",
    "StateTransition",
    "User",
    "Vehicle",
]
