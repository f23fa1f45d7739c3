"""What somebody who has taken over a decoding process would try: each fails with OSError, or has succeeded."""

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import socket
import threading
from pathlib import Path

import msgspec

from classifier import sandbox
from classifier.pool import Given
from classifier.syscalls import NUMBERS


def ready() -> None:
    """For a pool's ``prepare``: a process imports this module with it."""


def connect(port: int) -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", port))


def datagram() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def unix() -> None:
    socket.socket(socket.AF_UNIX).close()


def pair() -> None:
    for one in socket.socketpair():
        one.close()


def execute() -> None:
    os.execv("/bin/sh", ["/bin/sh", "-c", "exit 7"])


def fork() -> None:
    if os.fork() == 0:
        os._exit(7)


def vfork() -> None:
    os.posix_spawn("/bin/sh", ["/bin/sh", "-c", "exit 7"], {})


def write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY))


def create(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT))


def truncate(path: str) -> None:
    os.truncate(path, 0)


def rename(path: str) -> None:
    os.rename(path, path + "2")


def unlink(path: str) -> None:
    os.unlink(path)


def make_directory(path: str) -> None:
    os.mkdir(path + "2")


def read(path: str) -> int:
    return len(Path(path).read_bytes())


def listing(path: str) -> int:
    return len(os.listdir(path))


def kill_parent() -> None:
    os.kill(os.getppid(), 0)


def signal_parent_thread() -> None:
    _call(NUMBERS[os.uname().machine]["tgkill"], os.getppid(), os.getppid(), 0)


def own_the_terminal() -> None:
    fcntl.ioctl(0, 0x5412, b"x")  # TIOCSTI


def limit_parent() -> None:
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (8, 8))


def more_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard + (1 << 30), hard + (1 << 30)))


def namespace() -> None:
    os.unshare(os.CLONE_NEWUSER)


def dumpable() -> None:
    _call(157 if os.uname().machine == "x86_64" else 167, 4, 1, 0, 0, 0)  # prctl(PR_SET_DUMPABLE, 1)


def memory_of_parent() -> None:
    here = ctypes.create_string_buffer(8)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
    number = 310 if os.uname().machine == "x86_64" else 270  # process_vm_readv
    _call(number, os.getppid(), ctypes.byref(vector), ctypes.c_ulong(1), ctypes.byref(vector), ctypes.c_ulong(1), 0)


def ring_of_requests() -> None:
    _call(425, 8, ctypes.create_string_buffer(120))  # io_uring_setup: would do what the filter does not see


def other_table() -> None:
    """The 32-bit system calls of x86, whose numbers are others: ``mov eax, 20; int 0x80; ret`` (getpid)."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def thread() -> list[int]:
    """Threads decoders do need."""
    found: list[int] = []
    one = threading.Thread(target=found.append, args=(7,))
    one.start()
    one.join()
    return found


def descriptors(count: int) -> int:
    """Open this many at the same time."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.callback(os.close, os.dup(0))
        return count


def abort() -> None:
    os.abort()


def refused(*numbers: int) -> Given:
    """What ``enter`` says, and whether it can still work, where the kernel knows none of these system calls."""
    words: list[tuple[int, int, int, int]] = [(0x20, 0, 0, 0)]
    for number in numbers:
        words += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 38)]
    filters = (sandbox._Filter * (len(words) + 1))(
        *(sandbox._Filter(*word) for word in [*words, (0x06, 0, 0, 0x7FFF0000)])
    )
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(sandbox._Program(len(filters), filters)), 0, 0) == 0
    return msgspec.json.encode(sandbox.enter(1 << 30)), ()


def _call(number: int, *arguments: object) -> None:
    if ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
