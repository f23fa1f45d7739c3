"""Shuts a decoding process in: what a file that takes over a decoder could do is answer wrongly, and nothing else.

Three layers of Linux, each of which may be refused (an old kernel, a container that forbids it) without the others:
resource limits, landlock (which files may be read) and seccomp (which system calls there are at all). What was refused
is in the :class:`Report`, which the service logs at its start.
"""

import contextlib
import ctypes
import errno
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from classifier.syscalls import ALLOWED, AUDIT_ARCH, CHECKED, NUMBERS, Check


class Report(msgspec.Struct, frozen=True):
    """What holds in a process, and what the kernel refused, with what that means and what to do: a sentence each."""

    on: tuple[str, ...]
    off: tuple[str, ...]


MAX_FILES = 64
"""Descriptors a decoding process may have open: three that it is given, and what a late import reads."""


def enter(memory: int) -> Report:
    """Give up for good all that decoding does not need. To be called with one thread, after all is imported.

    ``memory``: bytes of address space beyond those that the process has now.
    """
    _limit(memory)
    on, off = ["bounds on memory, time and files"], []
    libc = ctypes.CDLL(None, use_errno=True)
    for what, means, lock in (
        (
            "landlock: it reads nothing but Python's own files",
            "a decoder that is taken over could read what this user may read. It needs Linux 5.13 or newer with "
            "landlock among the security modules (/sys/kernel/security/lsm), and a container that lets it through",
            _landlock,
        ),
        (
            "seccomp: no network, no other programs, no writing",
            "a decoder that is taken over could open connections and start programs. It needs Linux on x86-64 or "
            "arm64 with CONFIG_SECCOMP_FILTER, and a container that lets it through",
            _seccomp,
        ),
    ):
        try:
            lock(libc)
            on.append(what)
        except OSError as error:
            off.append(f"{what.partition(':')[0]} is off ({error.strerror}): {means}")
    return Report(tuple(on), tuple(off))


def _limit(memory: int) -> None:
    """The limits hold for the process's life. RLIMIT_NPROC is not among them: it counts all that the user runs."""
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_AS, _address_space() + memory),
    ):
        _, hard = resource.getrlimit(which)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bound, bound))


def _address_space() -> int:
    """Bytes of address space this process has now; numpy's threads alone take more on a machine with more cores."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITIES_3 = 0x20080522  # linux/capability.h


def _call(libc: ctypes.CDLL, number: int, *arguments: object) -> int:
    found = int(libc.syscall(ctypes.c_long(number), *arguments))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def _no_privileges(libc: ctypes.CDLL) -> None:
    """Both layers ask for it. Root could raise its limits again; and this user's other processes need not look in."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, f"there is none on {sys.platform}")
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    none = (ctypes.c_uint32 * 6)()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.capset((ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), none):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


# Linux, Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.
_LANDLOCK = (444, 445, 446)  # create_ruleset, add_rule, restrict_self: the same on every architecture
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # by version of the interface: how many rights there are, from bit 0
_TCP = 3  # bind and connect, from version 4
_SCOPES = 3  # abstract unix sockets and signals, from version 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _landlock(libc: ctypes.CDLL) -> None:
    _no_privileges(libc)
    create, add, restrict = _LANDLOCK
    version = _call(libc, create, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    rules = _Ruleset(
        (1 << _FS_RIGHTS[min(version, 5)]) - 1, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0
    )
    # A kernel takes the longer structures of newer ones as long as what it does not know is zero.
    ruleset = _call(libc, create, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), ctypes.c_uint32(0))
    try:
        for path in readable():
            with contextlib.suppress(FileNotFoundError):
                file = os.open(path, os.O_PATH | os.O_CLOEXEC)
                try:
                    rule = _PathBeneath(_READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE, file)
                    _call(libc, add, ctypes.c_int(ruleset), ctypes.c_int(1), ctypes.byref(rule), ctypes.c_uint32(0))
                finally:
                    os.close(file)
        _call(libc, restrict, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def readable() -> Iterator[str]:
    """What late imports read: Python's installation, the packages loaded from elsewhere, the system's libraries."""
    roots = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)}
    yield from roots
    for name, module in tuple(sys.modules.items()):
        if "." not in name and (file := getattr(module, "__file__", None)):
            file = os.path.realpath(file)
            if not any(file.startswith(root + os.sep) for root in roots):
                yield os.path.dirname(file) if hasattr(module, "__path__") else file
    yield from ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/dev/null")
    # Where a C library asks how many threads to start.
    yield "/sys/devices/system/cpu"


# Linux, Documentation/userspace-api/seccomp_filter.rst; the program's words are those of linux/filter.h.
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000  # the last one with an errno in its lower half
_AT_NUMBER, _AT_ARCH, _AT_ARGUMENTS = 0, 4, 16


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Filter)))


type _Word = tuple[int, int, int, int]


def _seccomp(libc: ctypes.CDLL) -> None:
    _no_privileges(libc)
    machine = platform.machine()
    if machine not in AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"no list of system calls for {machine}")
    words = _program(machine, os.getpid())
    filters = (_Filter * len(words))(*(_Filter(*word) for word in words))
    program = _Program(len(words), filters)
    numbers = NUMBERS[machine]
    left = _call(
        libc, numbers["seccomp"], ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_ALL_THREADS), ctypes.byref(program)
    )
    if left:  # the id of a thread that it could not be put on
        raise OSError(errno.ESRCH, f"thread {left} cannot be shut in")


def _program(machine: str, pid: int) -> list[_Word]:
    """What is not listed fails with EPERM, which is kinder to libraries than a signal."""
    numbers = NUMBERS[machine]
    words: list[_Word] = [
        (_LOAD, 0, 0, _AT_ARCH),
        (_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    for name in ALLOWED:
        if name in numbers:
            words += [(_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ALLOW)]
    for name, check in CHECKED.items():
        if name in numbers:
            inner = _checked(check, pid)
            words += [(_EQUAL, 0, len(inner), numbers[name]), *inner]
    # glibc asks for threads with clone3 first, whose flags a filter cannot see, and then with clone.
    words += [(_EQUAL, 0, 1, numbers["clone3"]), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]
    return [*words, (_RETURN, 0, 0, _REFUSE | errno.EPERM)]


def _checked(check: Check, pid: int) -> list[_Word]:
    """One argument's lower half looked at: all of these are ints or small flags."""
    words: list[_Word] = [(_LOAD, 0, 0, _AT_ARGUMENTS + 8 * check.argument)]
    if check.without:
        words += [(_ANY_BIT, 0, 1, check.without), (_RETURN, 0, 0, _REFUSE | errno.EPERM)]
    if check.with_:
        words += [(_ANY_BIT, 0, 1, check.with_), (_RETURN, 0, 0, _ALLOW)]
    values = (*check.values, pid) if check.own_pid else check.values
    for value in values:
        words += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    last = _ALLOW if check.without and not (check.with_ or values) else _REFUSE | errno.EPERM
    return [*words, (_RETURN, 0, 0, last)]
