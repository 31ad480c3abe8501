"""What a sandboxed child can and cannot do. Each test runs one small Python program in a child."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from compute.sandbox import (
    MEBIBYTE,
    active_layers,
    bubblewrap,
    bubblewrap_argv,
    kill_group,
    run_child,
    seccomp_usable,
)
from tests.waiting import NEVER_S, until

needs_bubblewrap = pytest.mark.skipif(bubblewrap_argv() is None, reason="bubblewrap cannot be used here")
LIMITED = "from compute.sandbox import apply_rlimits\napply_rlimits(memory_bytes={memory}, cpu_seconds=1)\n"


def run(code, *, prefix=(), stdin=(), wall_seconds=NEVER_S, cap=10_000, cwd=Path("/")):
    return run_child(
        [*prefix, sys.executable, "-c", code],
        stdin=list(stdin),
        environment={},
        cwd=cwd,
        wall_seconds=wall_seconds,
        stdout_cap_bytes=cap,
    )


def boxed(code, **keywords):
    return run(code, prefix=bubblewrap_argv(environment={"GREETING": "hello"}, **keywords))


def is_gone(pid):
    """Return whether there is no such process, or only its zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class TestRunChild:
    def test_large_input_and_output(self):
        data = bytes(range(256)) * 8192
        echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
        finished = run(echo, stdin=[data, b"", data], cap=2 * len(data))
        assert finished.stdout == data * 2
        assert (finished.returncode, finished.signal, finished.timed_out) == (0, None, False)

    def test_a_child_that_does_not_read(self):
        finished = run("print('done')", stdin=[bytes(4 * MEBIBYTE)])
        assert (finished.stdout, finished.returncode) == (b"done\n", 0)

    def test_too_much_output(self):
        finished = run("while True: print('x' * 1000)", cap=5000)
        assert finished.overflowed
        assert len(finished.stdout) == 5000

    def test_stderr_is_cut(self):
        finished = run("import sys; sys.stderr.write('e' * 100_000)")
        assert (finished.returncode, len(finished.stderr)) == (0, 4096)

    def test_out_of_time_even_with_closed_pipes(self):
        code = "import os, time\nfor number in (0, 1, 2): os.close(number)\ntime.sleep(3600)"
        finished = run(code, wall_seconds=0.5)
        assert finished.timed_out
        assert (finished.returncode, finished.overflowed) == (-9, False)

    def test_grandchildren_die_too(self):
        code = (
            "import os, time\n"
            "if child := os.fork():\n"
            "    print(child)\n"
            "else:\n"
            "    for number in (0, 1, 2): os.close(number)\n"
            "    time.sleep(3600)\n"
        )
        finished = run(code)
        assert finished.returncode == 0
        until(lambda: is_gone(int(finished.stdout)), what="the end of the grandchild")

    def test_signal_directly_and_through_a_wrapper(self):
        assert run("import os; os.kill(os.getpid(), 11)").signal == 11
        assert run("raise SystemExit(139)").signal == 11

    def test_kill_group_twice(self):
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
        kill_group(process)
        kill_group(process)
        assert process.returncode == -9


class TestRlimits:
    def test_memory(self):
        finished = run(LIMITED.format(memory=200 * MEBIBYTE) + "bytearray(400 * 2**20)")
        assert b"MemoryError" in finished.stderr

    def test_processor(self):
        assert run(LIMITED.format(memory=2**30) + "while True: pass").signal == 24

    def test_files(self, tmp_path):
        finished = run(LIMITED.format(memory=2**30) + "open('note', 'wb', buffering=0).write(b'x')", cwd=tmp_path)
        assert b"File too large" in finished.stderr

    def test_limits_are_never_raised(self):
        code = (
            "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
            + LIMITED.format(memory=2**30)
            + "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
        )
        assert run(code).stdout == b"(20, 20)\n"


@pytest.mark.skipif(not seccomp_usable(), reason="no seccomp filter for this machine")
class TestSeccomp:
    FILTERED = "import os, socket, subprocess, sys, threading\nimport compute.sandbox as s\ns.apply_seccomp()\n"

    @pytest.mark.parametrize(
        "attempt",
        [
            "socket.socket()",
            "socket.socketpair()",
            "os.fork()",
            "os.execv(sys.executable, [sys.executable])",
            "os.posix_spawn(sys.executable, [sys.executable], {})",
            "subprocess.run([sys.executable, '-c', ''])",
            "os.pidfd_open(os.getppid())",
            "os.chroot('/')",
        ],
    )
    def test_refused(self, attempt):
        assert b"PermissionError" in run(self.FILTERED + attempt).stderr

    def test_threads_start_and_are_filtered(self):
        code = "thread = threading.Thread(target=os.fork)\nthread.start()\nthread.join()"
        assert b"PermissionError" in run(self.FILTERED + code).stderr

    def test_threads_that_run_already_are_filtered(self):
        code = (
            "import os, threading, compute.sandbox\n"
            "go = threading.Event()\n"
            "thread = threading.Thread(target=lambda: (go.wait(), os.fork()))\n"
            "thread.start()\ncompute.sandbox.apply_seccomp()\ngo.set()\nthread.join()"
        )
        assert b"PermissionError" in run(code).stderr

    def test_files_and_memory_still_work(self):
        code = "print(len(open(os.__file__).read()) > 0, len(bytearray(2**24)))"
        assert run(self.FILTERED + code).stdout == b"True 16777216\n"


@needs_bubblewrap
class TestBubblewrap:
    def test_surroundings(self):
        code = "import os; print(os.getcwd(), os.listdir('.'), os.environ['GREETING'], os.environ.get('HOME'))"
        assert boxed(code).stdout == b"/empty [] hello None\n"

    def test_sees_only_what_is_bound(self, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("s3cret")
        code = f"print(open({str(secret)!r}).read())"
        assert b"FileNotFoundError" in boxed(code).stderr
        assert boxed(code, read_only=[tmp_path]).stdout == b"s3cret\n"

    def test_writes_nothing(self, tmp_path):
        for place in ("/empty/x", "/x", str(tmp_path / "x")):
            finished = boxed(f"open({place!r}, 'w')", read_only=[tmp_path])
            assert b"Read-only file system" in finished.stderr

    def test_has_no_network_and_sees_no_other_process(self):
        assert b"unreachable" in boxed("import socket; socket.create_connection(('192.0.2.1', 80), 2)").stderr
        assert int(boxed("import os; print(sum(name.isdigit() for name in os.listdir('/proc')))").stdout) <= 2

    def test_processes_can_be_capped(self):
        code = (
            "import sys; sys.path.append(sys.argv[1])\n"
            "from compute.sandbox import apply_rlimits\n"
            "import os\n"
            "apply_rlimits(memory_bytes=2**30, cpu_seconds=1, processes=1)\n"
            # The kernel exempts root from this limit, so a child of root first changes to the user nobody.
            "os.getuid() or os.setuid(65534)\n"
            "os.fork()"
        )
        root = Path(bubblewrap.__file__).parents[2]
        # In bubblewrap root cannot change to another user, so as root the test runs without it.
        prefix = bubblewrap_argv(read_only=[root / "compute" / "sandbox"]) if os.getuid() else []
        finished = run_child(
            [*prefix, sys.executable, "-I", "-B", "-c", code, str(root)],
            stdin=[],
            environment={},
            cwd=Path("/"),
            wall_seconds=NEVER_S,
            stdout_cap_bytes=1000,
        )
        assert b"BlockingIOError" in finished.stderr

    def test_layers(self):
        assert active_layers()[:2] == ("bubblewrap", "rlimits")


def test_bubblewrap_that_does_not_work_is_not_used(tmp_path, monkeypatch):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap_argv() is None
    assert active_layers()[0] == "rlimits"
