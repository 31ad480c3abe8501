"""Pairing: an agent shows a code and its owner types it in the portal (as in RFC 8628), bound to the agent's key.

The code is an HMAC of the agent's key and of the time when the code expires. So an agent that polls or restarts gets
the code that is already on its screen, although no table contains it. A row has a keyed hash to find it by: a plain
hash of a code of 45 bits could be reversed by trying all codes.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Owner, User, Vehicle
from accounts.vehicles import vehicles
from compute import protocol
from compute.models import Node, Pairing
from compute.nodes import nodes, throttle
from core.errors import Conflict, NotFound

LIFETIME = timedelta(minutes=15)
CODE_LENGTH = 9  # characters out of 31: 44.6 bits, too many to guess within 15 minutes
SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")
CODE = re.compile(f"[{nodes.CODE_ALPHABET}]{{{CODE_LENGTH}}}")
GUESSES, GUESSES_S = 10, 15 * 60  # wrong codes of one user, in 15 minutes
NEWCOMERS, NEWCOMERS_S = 30, 60 * 60  # new keys from one IP address, in an hour


@dataclass(frozen=True)
class ShownCode:
    """The code that an agent shows until its owner has confirmed it."""

    code: str
    expires_at: datetime


@dataclass(frozen=True)
class NewVehicle:
    """A vehicle to add when its computer is confirmed."""

    label: str
    make_model: str
    vin: str


@dataclass(frozen=True)
class WaitingComputer:
    """A computer that waits for confirmation, as the owner sees it."""

    code: str
    hardware: protocol.Hardware
    hardware_title: str
    agent_version: str
    asked_at: datetime
    expires_at: datetime


@transaction.atomic
def start(*, request: protocol.Pairing, address: str) -> ShownCode | Node:
    """Return the valid code of this key, or its node once the owner has confirmed the code.

    The caller has verified that the request is signed with the key. The computer's description is stored only when a
    new code is made, so that an owner confirms exactly what the portal showed. Raise InvalidInput `malformed`, Conflict
    `key_in_use` for a retired key, TooManyTries for too many new keys from `address`.
    """
    nodes.check_words(request.hardware, request.agent_version)
    node = _node_of(request.public_key)
    if node is not None:
        return node
    if not Pairing.objects.filter(public_key=request.public_key).exists():
        throttle.count(f"pairing:{address}", limit=NEWCOMERS, period_s=NEWCOMERS_S)
    fresh = _fresh(request)
    Pairing.objects.get_or_create(public_key=request.public_key, defaults=fresh)
    row = Pairing.objects.select_for_update(of=["self"]).get(public_key=request.public_key)
    if (node := _node_of(request.public_key)) is not None:  # confirmed since the first query
        return node
    code = _code(row.public_key, row.expires_at)
    is_of_another_secret = row.code_sha256 != _keyed_hash(code)  # SECRET_KEY was changed
    if row.expires_at <= timezone.now() or is_of_another_secret:
        Pairing.objects.filter(pk=row.pk).update(**fresh)
        return ShownCode(_code(row.public_key, fresh["expires_at"]), fresh["expires_at"])
    return ShownCode(code, row.expires_at)


def find(*, code: str, user: User) -> WaitingComputer:
    """Return the computer that waits under a valid code. Spaces, dashes and case in `code` do not matter.

    Raise NotFound `code_invalid`. Raise TooManyTries `too_many_tries` after ten wrong codes in 15 minutes, then also
    for a right one.
    """
    row = _claim(code, user)
    if row is None or row.node_id is not None:
        raise _invalid()
    hardware = msgspec.convert(row.hardware, protocol.Hardware)
    return WaitingComputer(
        code=format_code(_code(row.public_key, row.expires_at)),
        hardware=hardware,
        hardware_title=nodes.class_title(hardware),
        agent_version=row.agent_version,
        asked_at=row.expires_at - LIFETIME,
        expires_at=row.expires_at,
    )


@transaction.atomic
def confirm(*, code: str, owner: Owner, vehicle: Vehicle | NewVehicle, actor: User) -> Node:
    """Bind the waiting key to one of the owner's vehicles, or to a new one, and return its node. The code is then used.

    This gives no consent. Confirming again (a second click) returns the same node. Raise as `find`, as `add_vehicle`,
    and Conflict `already_enrolled` for a vehicle that has a computer.
    """
    row = _claim(code, actor, lock=True)
    if row is None:
        raise _invalid()
    if row.node_id is not None:
        mine = Node.objects.in_use().filter(pk=row.node_id, vehicle__owner=owner).select_related("vehicle").first()
        if mine is None:
            raise _invalid()
        return mine
    if isinstance(vehicle, NewVehicle):
        vehicle = vehicles.add_vehicle(
            owner=owner, label=vehicle.label, make_model=vehicle.make_model, vin=vehicle.vin, actor=actor
        )
    elif vehicle.owner_id != owner.pk:
        raise NotFound("There is no such vehicle.")
    node = nodes.create_node(
        vehicle=vehicle,
        public_key=row.public_key,
        hardware=msgspec.convert(row.hardware, protocol.Hardware),
        agent_version=row.agent_version,
        actor=actor,
        method="pairing",
    )
    Pairing.objects.filter(pk=row.pk).update(node=node)
    return node


def normalize_code(code: str) -> str:
    """Return a typed code in capitals and without separators: "abc-def ghj" becomes "ABCDEFGHJ"."""
    return SEPARATORS.sub("", code[:100]).upper()


def format_code(code: str) -> str:
    """Return a code in the form for people: "ABC-DEF-GHJ"."""
    return "-".join(code[at : at + 3] for at in range(0, len(code), 3))


def _node_of(public_key: str) -> Node | None:
    """Return the node with this key, or None. Raise Conflict `key_in_use` for a retired node, whose key stays void."""
    node = Node.objects.filter(public_key=public_key).select_related("vehicle", "hardware_class").first()
    if node is not None and node.status == Node.Status.RETIRED:
        raise Conflict(
            "This computer's key was retired with its node and cannot be used again. Start with an empty state folder.",
            code="key_in_use",
        )
    return node


def _fresh(request: protocol.Pairing) -> dict[str, Any]:
    """Return the columns of a new code.

    If it equals another code, the unique constraint fails and the agent asks again.
    """
    expires_at = timezone.now() + LIFETIME
    return {
        "code_sha256": _keyed_hash(_code(request.public_key, expires_at)),
        "hardware": msgspec.to_builtins(request.hardware),
        "agent_version": request.agent_version[:32],
        "expires_at": expires_at,
    }


def _claim(code: str, user: User, *, lock: bool = False) -> Pairing | None:
    """Return the row of a valid code, also of a confirmed one, or None.

    A wrong code counts against the user's limit.
    """
    letters = normalize_code(code)
    if not CODE.fullmatch(letters):
        return None  # it does not look like a code, so it does not count as a guess
    throttle.count(f"guess:{user.pk}", limit=GUESSES, period_s=GUESSES_S)
    rows = Pairing.objects.select_for_update(of=["self"]) if lock else Pairing.objects
    row = rows.filter(code_sha256=_keyed_hash(letters), expires_at__gt=timezone.now()).first()
    if row is not None:
        throttle.forget(f"guess:{user.pk}")
    return row


def _invalid() -> NotFound:
    return NotFound("This code is not valid or has expired. The car's screen shows the valid one.", code="code_invalid")


def _code(public_key: str, expires_at: datetime) -> str:
    moment = int(expires_at.timestamp() * 1_000_000)
    number = int.from_bytes(_hmac(f"pairing:{public_key}:{moment}"))
    letters = []
    for _ in range(CODE_LENGTH):
        number, index = divmod(number, len(nodes.CODE_ALPHABET))
        letters.append(nodes.CODE_ALPHABET[index])
    return "".join(letters)


def _keyed_hash(code: str) -> str:
    return _hmac(f"pairing-code:{code}").hex()


def _hmac(text: str) -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256)
