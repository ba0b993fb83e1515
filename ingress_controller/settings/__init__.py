"""What an operator can set, and the values that settings are made of.

In: text from flags, the environment or a YAML file, as the command line gathered it. Out: one frozen
:class:`Settings` that the rest of the program reads; nothing else reads the environment.
"""

from ingress_controller.model.upstream import Address
from ingress_controller.settings.data_directory import make_data_directory
from ingress_controller.settings.model import Setting, Settings, setting
from ingress_controller.settings.values import RedisStore, SqliteStore, UnixSocket, parse_address

__all__ = [
    "Address",
    "RedisStore",
    "Setting",
    "Settings",
    "SqliteStore",
    "UnixSocket",
    "make_data_directory",
    "parse_address",
    "setting",
]
