"""Withdrawal of consent at the car. The node's signature authenticates the person there, who need not be the owner."""

from accounts.consents import consents
from accounts.models import VEHICLE_PURPOSES, ConsentCurrent, ConsentState
from compute import protocol
from compute.models import Node
from core.errors import Conflict, Forbidden, InvalidInput


def withdraw(*, node: Node, purpose: str) -> protocol.Withdrawn:
    """Withdraw a consent of the node's vehicle; the owner gets a mail. A repeated request returns the first record.

    Without a consent in force nothing is written: `record` is empty and `state` is the present state. Raise
    InvalidInput `purpose_unknown` for a purpose that is not about a vehicle. Raise Forbidden `node_retired` for a
    retired node, because a lost computer may not act for the person at the car.
    """
    if node.status == Node.Status.RETIRED:
        raise Forbidden("This computer has been retired.", code="node_retired")
    if purpose not in VEHICLE_PURPOSES:
        raise InvalidInput("A car can withdraw: " + ", ".join(VEHICLE_PURPOSES) + ".", code="purpose_unknown")
    try:
        record = consents.decide(
            vehicle=node.vehicle, purpose=purpose, decision=ConsentState.WITHDRAWN, actor=None, method="agent"
        )
    except Conflict:
        current = ConsentCurrent.objects.filter(vehicle=node.vehicle, purpose=purpose).first()
        return protocol.Withdrawn(record="", state=current.state if current else "none")
    return protocol.Withdrawn(record=str(record.public_id), state=record.state)
