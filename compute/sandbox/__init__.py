"""The sandbox of a child process: resource limits, bubblewrap, seccomp, and the kill of its whole process group.

It uses only the standard library: the agent in the car and the server both import it, and a child imports it before its
limits are in force.
"""

from compute.sandbox.bubblewrap import bubblewrap_argv
from compute.sandbox.limits import MEBIBYTE, apply_rlimits
from compute.sandbox.process import FinishedChild, kill_group, run_child
from compute.sandbox.seccomp import apply_seccomp, seccomp_usable

__all__ = [
    "MEBIBYTE",
    "FinishedChild",
    "active_layers",
    "apply_rlimits",
    "apply_seccomp",
    "bubblewrap_argv",
    "kill_group",
    "run_child",
    "seccomp_usable",
]


def active_layers() -> tuple[str, ...]:
    """Return the names of the layers that work on this machine, outermost first.

    A child has them if it is started with `bubblewrap_argv` and calls `apply_rlimits` and `apply_seccomp`.
    """
    usable = {"bubblewrap": bubblewrap_argv() is not None, "rlimits": True, "seccomp": seccomp_usable()}
    return tuple(layer for layer, is_usable in usable.items() if is_usable)
