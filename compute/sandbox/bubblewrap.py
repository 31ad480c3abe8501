"""The command line that puts a Python child in bubblewrap (https://github.com/containers/bubblewrap).

Inside, the child has no network, no other processes, no capabilities and no writable file; it sees only
the interpreter, its libraries, the packages given, and an empty working directory.
"""

import functools
import shutil
import subprocess  # the probe runs a fixed command
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

WORKING_DIRECTORY = "/empty"
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/local/lib", "/lib", "/lib64", "/lib32")
# Read by the dynamic loader and by onnxruntime's CPU detection. Neither identifies the owner or the machine.
_FACTS = ("/etc/ld.so.cache", "/sys/devices/system/cpu")
_SYSTEM_PREFIXES = (Path("/usr"), Path("/usr/local"), Path("/"))
# The result of the probe is final, so its time limit is generous: a busy machine must not count as one that forbids
# namespaces.
_PROBE_SECONDS = 120


def bubblewrap_argv(
    *, read_only: Sequence[Path] = (), environment: Mapping[str, str] | None = None
) -> list[str] | None:
    """Return the arguments to put before a command so that it runs in bubblewrap; None if that does not work here.

    ``read_only`` lists files and folders visible at their own path, besides the running interpreter, its
    libraries and site-packages. ``environment`` is the whole environment of the child. Append the command:
    ``[*argv, sys.executable, "-I", ...]``. The first call runs bubblewrap as a test (0.03 s) and remembers the result.

    The sandbox dies with the *thread* that started it, so start it from the thread that waits for it.
    """
    program = shutil.which("bwrap")
    if program is None or not _works(program):
        return None
    return _argv(program, read_only, environment or {})


def _argv(program: str, read_only: Sequence[Path], environment: Mapping[str, str]) -> list[str]:
    argv = [program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    argv += ["--dev", "/dev", "--proc", "/proc"]
    for path in _visible([*_python_paths(), *read_only]):
        argv += _show(path)
    for name, value in environment.items():
        argv += ["--setenv", name, value]
    argv += ["--dir", WORKING_DIRECTORY, "--chdir", WORKING_DIRECTORY, "--remount-ro", "/"]
    return [*argv, "--"]


def _python_paths() -> list[Path]:
    """Return the paths of the interpreter, its standard library and its site-packages; never all of /usr."""
    places = [Path(sys.executable), Path(sys.executable).resolve()]
    places += [Path(path) for path in sysconfig.get_paths().values() if path.startswith("/")]
    prefixes = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_prefix).resolve()}
    return places + sorted(prefix for prefix in prefixes if prefix not in _SYSTEM_PREFIXES)


def _visible(wanted: Iterable[Path]) -> list[Path]:
    """Return the existing paths in order of depth, without those that lie inside another one."""
    paths = {Path(name) for name in (*_LIBRARIES, *_FACTS)} | set(wanted)
    kept: list[Path] = []
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        if path.exists() and not any(parent in kept for parent in path.parents):
            kept.append(path)
    return kept


def _show(path: Path) -> list[str]:
    # On a merged /usr, /lib and /lib64 are symlinks into /usr and must be symlinks in the sandbox as well.
    if str(path) in _LIBRARIES and path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)]


@functools.cache
def _works(program: str) -> bool:
    """Return whether this interpreter starts in the sandbox: kernels and containers may forbid namespaces."""
    command = [*_argv(program, (), {}), sys.executable, "-I", "-c", "import ctypes, json"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
