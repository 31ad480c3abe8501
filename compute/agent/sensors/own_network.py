"""The network of this computer (of its default route), for sources that do not report the car's network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compute.agent.state.errors import AgentError

PROC, SYS = Path("/proc"), Path("/sys")
_ETHERNET = 1  # ARPHRD_ETHER, also of Wi-Fi and of many modems
_UP = 0x1
_MOBILE_NAMES = ("wwan", "ppp", "rmnet", "usb", "cdc")
_WIRED_NAMES = ("en", "eth")


def choose(option: str, *, car: Callable[[], str | None]) -> Callable[[], str | None]:
    """Return the function that finds the network: of this computer for "own", ``car`` for "car".

    Raise AgentError (sensors_invalid) for any other option.
    """
    if option not in ("own", "car"):
        raise AgentError("sensors_invalid", "network must be own (this computer's) or car.")
    return own_network if option == "own" else car


def own_network(proc: Path = PROC, sys: Path = SYS) -> str | None:
    """Return "wifi", "cellular", "ethernet" or "none"; None for an interface of unknown kind, as a tunnel."""
    try:
        names = _default_interfaces((proc / "net" / "route").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    if not names:
        return "none"
    kinds = {_kind(name, sys / "class" / "net" / name) for name in names}
    return kinds.pop() if len(kinds) == 1 else None


def _default_interfaces(routes: str) -> set[str]:
    """Return the interfaces of the default routes with the lowest metric. Raise ValueError."""
    found: dict[int, set[str]] = {}
    for line in routes.splitlines()[1:]:
        columns = line.split()
        if len(columns) >= 8 and columns[1] == columns[7] == "00000000" and int(columns[3], 16) & _UP:
            found.setdefault(int(columns[6]), set()).add(columns[0])
    return found[min(found)] if found else set()


def _kind(name: str, folder: Path) -> str | None:
    if (folder / "wireless").exists() or (folder / "phy80211").exists():
        return "wifi"
    if name.startswith(_MOBILE_NAMES):
        return "cellular"
    try:
        is_ethernet = int((folder / "type").read_text(encoding="ascii")) == _ETHERNET
    except (OSError, ValueError):
        return None
    return "ethernet" if is_ethernet and name.startswith(_WIRED_NAMES) else None
