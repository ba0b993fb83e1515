"""Becomes another program, which the kernel kills when the process that started this one dies.

In: arguments ``PARENT PROGRAM ARGUMENT...``; PARENT is the process id of whoever starts it. Out: PROGRAM in this
process. The wish (``PR_SET_PDEATHSIG``, prctl(2)) survives the exec. It is made here, in a process with a single
thread, because between fork and exec of a program with threads (gRPC has many) no Python code may run.

The kernel sends the signal when the *thread* that started this process ends, so start it from a thread that lasts.
Run as a script by ``supervisor`` with ``python -I -S``; it imports nothing of this project.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: str, program: str, *arguments: str) -> None:
    """Ask for SIGKILL at the parent's death and become ``program``."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        sys.exit("the parent died first")
    try:
        os.execv(program, [program, *arguments])  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
