"""Resource limits that a child process sets for itself before it reads untrusted input.

The child sets them itself, because a ``preexec_fn`` may deadlock when the parent has threads.
"""

import resource

MEBIBYTE = 1024 * 1024


def apply_rlimits(
    *,
    memory_bytes: int,
    cpu_seconds: int,
    file_bytes: int = 0,
    open_files: int = 64,
    processes: int | None = None,
) -> None:
    """Lower the limits of the calling process for good; no limit is raised.

    ``memory_bytes`` limits the address space, so an allocation fails cleanly. At ``cpu_seconds`` the process receives
    SIGXCPU, which ends it, and two seconds later SIGKILL. ``file_bytes=0`` forbids writing any file (pipes still work).
    ``processes`` limits all processes *and threads* of the user, so set it only in a user namespace (bubblewrap), where
    it counts the sandbox alone.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 2)
    _lower(resource.RLIMIT_AS, memory_bytes)
    if processes is not None:
        _lower(resource.RLIMIT_NPROC, processes)


def _lower(which: int, soft: int, hard: int | None = None) -> None:
    allowed = resource.getrlimit(which)[1]
    wanted = soft if hard is None else hard
    hard = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
    resource.setrlimit(which, (min(soft, hard), hard))
