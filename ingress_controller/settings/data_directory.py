"""The folder that holds what must outlive a restart: signing key, sessions, the xDS socket.

In: its path. Out: a folder that only its owner can enter, or an error; everything in it is a secret.
"""

import stat
from pathlib import Path

from ingress_controller.errors import StartError


def make_data_directory(path: Path) -> None:
    """Make the folder with mode 0700, or check that an existing one is as private.

    An existing folder is never changed: it may be one that others need, such as ``/tmp``.

    Raises:
        StartError: it cannot be made, is not a folder, or others may read or enter it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise StartError(f"--data-dir: {path} cannot be used: {error.strerror}") from error
    if mode & 0o077:
        raise StartError(
            f"--data-dir: {path} has mode {mode:04o} and keeps secrets, it must be closed to others (0700): "
            "close it, or name a folder that does not exist yet"
        )
