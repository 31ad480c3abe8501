"""Cars and how their agents are run. It imports no Django: `make run` starts agents from a process without it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CarSpec:
    slug: str
    owner: str
    label: str
    make_model: str
    vin: str
    consents: bool = True


def agent_arguments(state: Path, url: str) -> list[str]:
    """Return the arguments of Python that run the agent of this state folder."""
    return ["-m", "compute.agent", "run", "--state", str(state), "--server", url]


def agent_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of an agent: it has the marketplace's address and none of its secrets."""
    secret = ("_URL", "_KEY", "_SEED", "_FILE", "DJANGO_", "DRIVEWAY_HOME")
    kept = {k: v for k, v in environment.items() if not any(part in k for part in secret)}
    return {**kept, "ORT_DISABLE_TELEMETRY": "1"}
