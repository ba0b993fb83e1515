"""A network namespace for the test process: what it and its children start there can reach nothing outside.

In: nothing. Out: a process whose only network is a loopback interface that also has `POD_NETWORK`. Works as root, and
as an ordinary user where the kernel lets users make namespaces.
"""

import ctypes
import fcntl
import itertools
import os
import socket
import struct
from ipaddress import IPv4Network
from pathlib import Path

POD_NETWORK = IPv4Network("10.244.0.0/16")
"""Addresses for "pods": each can be bound, none is a loopback address, which the API server refuses in endpoints."""

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_IFF_UP = 0x1

_addresses = itertools.islice(POD_NETWORK.hosts(), 1, None)


def enter_network_namespace() -> None:
    """Move this thread, and what it starts from now on, to a new network namespace. There is no way back.

    Raises:
        PermissionError: neither are we root nor may users make namespaces here; says what to do about it.
    """
    try:
        _unshare(_CLONE_NEWNET)
    except OSError:
        _unshare_as_user()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
        # On a loopback interface the whole network of an address is local.
        fcntl.ioctl(control, _SIOCSIFADDR, _interface_request("lo:0", str(next(POD_NETWORK.hosts()))))
        fcntl.ioctl(control, _SIOCSIFNETMASK, _interface_request("lo:0", str(POD_NETWORK.netmask)))


def pod_address() -> str:
    """An address of `POD_NETWORK` that no other test was given."""
    return str(next(_addresses))


def _unshare_as_user() -> None:
    """Become root of a user namespace of our own, which may then have a network namespace."""
    user, group = os.getuid(), os.getgid()
    try:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    except OSError as error:
        raise PermissionError(
            "these tests run real servers in a network namespace of their own, which the system does not allow"
            f" ({error.strerror}): run them as root with CAP_SYS_ADMIN, or allow unprivileged user namespaces"
            " (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0,"
            " user.max_user_namespaces > 0; in a container, --privileged or a seccomp profile that allows unshare)"
        ) from error
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")


def _unshare(flags: int) -> None:
    # os.unshare is there from Python 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _interface_request(interface: str, address: str) -> bytes:
    """A struct ifreq (netdevice(7)) with an IPv4 address."""
    return struct.pack("16sHH4s16x", interface.encode(), socket.AF_INET, 0, socket.inet_aton(address))
