from compute.models.artifacts import InputFile, ModelArtifact, ModelArtifactEvent
from compute.models.attempts import Attempt, AttemptEvent
from compute.models.history import AvailabilitySpan, HealthDay
from compute.models.jobs import InferenceJob, InferenceJobEvent, WorkUnit
from compute.models.metering import MeterConflict, MeterRecord, UsageRecord
from compute.models.node_decisions import NodeDecision
from compute.models.nodes import ClassFigures, EnrolmentCode, HardwareClass, Node, NodeEvent, NodePresence, Pairing

__all__ = [
    "Attempt",
    "AttemptEvent",
    "AvailabilitySpan",
    "ClassFigures",
    "EnrolmentCode",
    "HardwareClass",
    "HealthDay",
    "InferenceJob",
    "InferenceJobEvent",
    "InputFile",
    "MeterConflict",
    "MeterRecord",
    "ModelArtifact",
    "ModelArtifactEvent",
    "Node",
    "NodeDecision",
    "NodeEvent",
    "NodePresence",
    "Pairing",
    "UsageRecord",
    "WorkUnit",
]
