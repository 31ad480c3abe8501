"""Withdrawing at the car: the node's signature stands for the person there, who may stop it whoever owns the account."""

from accounts.consents import consents
from accounts.models import VEHICLE_PURPOSES, ConsentCurrent, ConsentState
from compute import protocol
from compute.models import Node
from core.errors import Conflict, Forbidden, InvalidInput


def withdraw(*, node: Node, purpose: str) -> protocol.Withdrawn:
    """Withdraw a consent for the node's vehicle, and write to its owner. Again answers what was recorded the first time.

    Without a consent in force nothing is written and `record` is empty; `state` says what there is instead.
    Raises InvalidInput `purpose_unknown` for a purpose that is not about a vehicle, Forbidden `node_retired`: a computer that
    was lost speaks for nobody at the car.
    """
    if node.status == Node.Status.RETIRED:
        raise Forbidden("This computer was taken out of the car.", code="node_retired")
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
