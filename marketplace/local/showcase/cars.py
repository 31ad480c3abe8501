"""The four cars of the showcase, and the processes of their agents."""

from collections.abc import Mapping
from pathlib import Path

from marketplace.local.demo.agents import CarSpec, agent_arguments, agent_environment
from marketplace.local.embedded.children import ChildSpec

CARS = (
    CarSpec("carla-1", "carla@demo.example", "City hatchback", "Demo Motors One", "1DRVWAY00CCCC0001"),
    CarSpec("carla-2", "carla@demo.example", "Camper", "Demo Motors Van", "1DRVWAY00CCCC0002"),
    CarSpec("deniz-1", "deniz@demo.example", "Pickup", "Demo Motors T", "1DRVWAY00DDDD0001"),
    CarSpec("emil-1", "emil@demo.example", "Estate", "Demo Motors E", "1DRVWAY00EEEE0001"),
)


def agents_folder(home: Path) -> Path:
    """Return the folder with a state folder for each car."""
    return home / "agents"


def agents(home: Path, url: str, environment: Mapping[str, str]) -> list[ChildSpec]:
    """Return the process of each car's agent."""
    return [
        ChildSpec(
            f"agent-{spec.slug}",
            tuple(agent_arguments(agents_folder(home) / spec.slug, url)),
            environment=agent_environment(environment),
        )
        for spec in CARS
    ]
