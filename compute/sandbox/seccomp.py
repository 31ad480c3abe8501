"""A seccomp filter that refuses the system calls which a process that only computes never needs.

No sockets, no new programs, no new processes (threads are allowed), nothing that affects other processes, mounts, keys
or kernel modules. Reading files is restricted by bubblewrap instead, because libraries read files late. The module uses
only the standard library: the filter is a classic BPF program, see seccomp(2) and linux/bpf_common.h. The numbers are
from the kernel's tables (asm/unistd_64.h, asm-generic/unistd.h).
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

# (x86_64, aarch64); aarch64 has no fork, vfork and mknod.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "personality": (135, 92),
    "syslog": (103, 116),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
}
_CLONE, _CLONE3, _SECCOMP = (56, 220), (435, 435), (317, 277)
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT, _CLONE_THREAD = 0x40000000, 0x00010000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_SET_NO_NEW_PRIVS, _SET_MODE_FILTER, _ALL_THREADS = 38, 1, 1


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def seccomp_usable() -> bool:
    """Return whether the kernel's filters can return errors and the numbers of this processor's calls are known."""
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    return _column() is not None and actions.exists() and "errno" in actions.read_text().split()


def apply_seccomp() -> None:
    """Filter all threads of this process and its children for good. Call it after the imports.

    A refused call fails with EPERM. Raise OSError if the kernel does not accept the filter.
    """
    column = _column()
    if column is None:
        raise OSError(errno.ENOSYS, "no seccomp filter for this processor")
    code = b"".join(_instructions(column))
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(libc.syscall(_SECCOMP[column], _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)))


def _column() -> int | None:
    machines = list(_AUDIT_ARCH)
    machine = os.uname().machine
    return machines.index(machine) if machine in machines and sys.maxsize > 2**32 else None


def _check(result: int) -> None:
    # A positive result is the id of a thread that could not be filtered.
    if result != 0:
        raise OSError(ctypes.get_errno() or errno.EAGAIN, "seccomp filter not applied")


def _instructions(column: int) -> Iterator[bytes]:
    # Calls of another architecture have other numbers, so they are killed; calls of the x32 ABI are refused.
    yield _step(_LOAD, _ARCH_AT)
    yield _step(_EQUAL, list(_AUDIT_ARCH.values())[column], 1, 0)
    yield _step(_RETURN, _KILL)
    yield _step(_LOAD, _NUMBER_AT)
    yield _step(_AT_LEAST, _X32_BIT, 0, 1)
    yield _step(_RETURN, _ERRNO | errno.EPERM)
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            yield from _deny(number, errno.EPERM)
    # clone3 passes its flags by pointer, which a filter cannot read. With ENOSYS the C library uses clone for threads.
    yield from _deny(_CLONE3[column], errno.ENOSYS)
    yield _step(_EQUAL, _CLONE[column], 0, 3)
    yield _step(_LOAD, _FIRST_ARGUMENT_AT)
    yield _step(_ANY_BIT, _CLONE_THREAD, 1, 0)
    yield _step(_RETURN, _ERRNO | errno.EPERM)
    yield _step(_RETURN, _ALLOW)


def _deny(number: int, error: int) -> Iterator[bytes]:
    yield _step(_EQUAL, number, 0, 1)
    yield _step(_RETURN, _ERRNO | error)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one ``struct sock_filter``."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
