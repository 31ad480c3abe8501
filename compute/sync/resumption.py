"""Resume a node whose suspension was lifted: its agent must confirm that its chain continues after our newest record.

A computer that was restored from an old copy would sign under used numbers for ever. So its agent receives the newest
record on the server, verifies its own signature on it, and answers with its hash. Until then the node gets no work.
What it still reports under used numbers is kept apart as before, without suspending the node again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from compute import protocol
from compute.models import NodePresence
from compute.sync.reports import Reporter
from core.db import execute_batch

CHAIN_HEADS = """
SELECT m.node_id, m.record, m.signature FROM compute_nodepresence p
  JOIN compute_meterrecord m ON m.node_id = p.node_id AND m.seq = p.meter_seq
 WHERE p.node_id = ANY(%b::bigint[])
"""


class ResumingNode(Protocol):
    """A node in a sync, as this module needs it."""

    reporter: Reporter
    status: str
    resuming: bool


def confirm_chain_heads(said: Mapping[int, str], nodes: Iterable[ResumingNode]) -> None:
    """Let the nodes work again whose agents sent the hash of our newest record.

    `said` maps node ids to the hashes that were sent. Call it before the reports are recorded, because they advance the
    chain. It takes no statement if no node agrees.
    """
    agreed = [node for node in nodes if node.resuming and said.get(node.reporter.id) == node.reporter.meter_hash]
    for node in agreed:
        node.resuming = False
    if agreed:
        NodePresence.objects.filter(node__in=[node.reporter.id for node in agreed]).update(resuming=False)


def chain_heads(nodes: Sequence[int]) -> dict[int, protocol.Chain]:
    """Return the newest stored record of each of these nodes. It takes no statement without nodes."""
    if not nodes:
        return {}
    rows = execute_batch(CHAIN_HEADS, [list(nodes)])
    return {node: protocol.Chain(record=bytes(record), signature=bytes(signature)) for node, record, signature in rows}
