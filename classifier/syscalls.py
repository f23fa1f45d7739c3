"""Which system calls a decoding process keeps, and their numbers: the tables of the seccomp filter in ``sandbox``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A call that is let through by one ``argument`` (from 0): with none of the bits ``without``, and, where any of
    these is given, with a bit of ``with_``, or as one of ``values``, or as this process's own id."""

    argument: int
    without: int = 0
    with_: int = 0
    values: tuple[int, ...] = ()
    own_pid: bool = False


# Each with its numbers on x86-64 and on arm64 (arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h).
_ALLOWED = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, close 3 57, lseek 8 62, fstat 5 80,
newfstatat 262 79, stat 4 -, lstat 6 -, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439,
readlink 89 -, readlinkat 267 78, getdents64 217 61, getcwd 79 17, dup 32 23, poll 7 -, ppoll 271 73,
select 23 -, pselect6 270 72, fadvise64 221 223, mmap 9 222, mprotect 10 226, munmap 11 215, mremap 25 216,
madvise 28 233, brk 12 214, mincore 27 232, futex 202 98, get_robust_list 274 100, set_robust_list 273 99,
set_tid_address 218 96, rseq 334 293, membarrier 324 283, sched_yield 24 124, sched_getaffinity 204 123,
sched_getparam 143 121, sched_getscheduler 145 120, getcpu 309 168, arch_prctl 158 -, exit 60 93,
exit_group 231 94, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, sigaltstack 131 132,
restart_syscall 219 128, nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114,
gettimeofday 96 169, time 201 -, times 100 153, getitimer 36 102, setitimer 38 103, getpid 39 172,
gettid 186 178, getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
getrandom 318 278, getrusage 98 165, getrlimit 97 163, setrlimit 160 164, sysinfo 99 179, uname 63 160
"""
_OTHERS = """
open 2 -, openat 257 56, fcntl 72 25, ioctl 16 29, prctl 157 167, prlimit64 302 261, clone 56 220,
tgkill 234 131, clone3 435 435, seccomp 317 277
"""

# fcntl.h: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000
# sched.h: a thread of this process, and nothing of its own (CLONE_NEW*)
_THREAD = 0x00010000
_NAMESPACES = 0x7E020000

CHECKED = {
    "open": Check(1, without=_WRITING),
    "openat": Check(2, without=_WRITING),
    "clone": Check(0, without=_NAMESPACES, with_=_THREAD),
    # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
    "fcntl": Check(1, values=(0, 1, 2, 3, 4, 1030)),
    # TCGETS, FIONCLEX, FIOCLEX: what Python asks of every file that it opens
    "ioctl": Check(1, values=(0x5401, 0x5450, 0x5451)),
    # PR_SET_NAME, PR_SET_VMA: libraries give their threads and memory names
    "prctl": Check(0, values=(15, 0x53564D41)),
    "prlimit64": Check(0, values=(0,)),
    "tgkill": Check(0, own_pid=True),  # abort() and raise()
}

# linux/audit.h
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def _rows(text: str) -> list[list[str]]:
    return [row.split() for row in text.replace("\n", " ").split(",")]


ALLOWED = tuple(name for name, *_ in _rows(_ALLOWED))
"""Let through whatever the arguments."""

NUMBERS = {
    machine: {row[0]: int(row[column]) for row in _rows(f"{_ALLOWED},{_OTHERS}") if row[column] != "-"}
    for column, machine in enumerate(AUDIT_ARCH, 1)
}
"""By machine, then by name."""
