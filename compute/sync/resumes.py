"""A node whose suspension was lifted goes on behind the newest record that we keep of it, once it has said so.

A computer that was put back to an old copy of itself would sign under used numbers for ever. So its agent is handed that
record, which it can check by its own signature, and answers with its hash; until then nothing is offered, and what it still
reports under used numbers is set aside as before, without suspending it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from compute import protocol
from compute.models import NodePresence
from compute.sync.reports import Reporter
from core.db import execute_batch

HEADS = """
SELECT m.node_id, m.record, m.signature FROM compute_nodepresence p
  JOIN compute_meterrecord m ON m.node_id = p.node_id AND m.seq = p.meter_seq
 WHERE p.node_id = ANY(%b::bigint[])
"""


class Resuming(Protocol):
    """A node in its sync."""

    reporter: Reporter
    status: str
    resuming: bool


def confirm(said: Mapping[int, str], nodes: Iterable[Resuming]) -> None:
    """Let those work again that say the head of their chain as we know it. Before their reports; no statement for nobody."""
    agreed = [node for node in nodes if node.resuming and said.get(node.reporter.id) == node.reporter.meter_hash]
    for node in agreed:
        node.resuming = False
    if agreed:
        NodePresence.objects.filter(node__in=[node.reporter.id for node in agreed]).update(resuming=False)


def heads(nodes: Sequence[int]) -> dict[int, protocol.Chain]:
    """The newest record kept of each of these nodes; no statement for none."""
    if not nodes:
        return {}
    rows = execute_batch(HEADS, [list(nodes)])
    return {node: protocol.Chain(record=bytes(record), signature=bytes(signature)) for node, record, signature in rows}
