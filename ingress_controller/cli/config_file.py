"""The ``--config`` file.

In: the path of a YAML file. Out: the text of each setting in it, for the command line to use where neither a flag
nor the environment says otherwise.
"""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from ingress_controller import strict_yaml
from ingress_controller.errors import StartError
from ingress_controller.settings import Settings, setting


def read_config(file: str) -> dict[str, Any]:
    """The settings in a YAML file; every scalar is text, as it would be in a flag.

    Raises:
        StartError: it cannot be read, is no YAML mapping, or has a key that is unknown.
    """
    try:
        root = strict_yaml.compose(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartError(f"--config: {file}: {reason}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise StartError(f"--config: {file}: must be a mapping of settings to values")
    unknown = [key for key, _ in root.value if key.value not in Settings.model_fields]
    if unknown:
        raise StartError(
            "\n".join(
                f"{file}: line {key.start_mark.line + 1}: no setting is called {key.value}"
                f"{nearest(key.value, Settings.model_fields)}"
                for key in unknown
            )
        )
    return {key.value: values_of(key.value, value) for key, value in root.value}


def values_of(name: str, node: yaml.Node) -> Any:
    """One setting as click takes it: text, or a tuple of texts where a setting has several values."""
    value = plain(node)
    return (value,) if setting(name).separator and not isinstance(value, tuple) else value


def plain(node: yaml.Node) -> Any:
    """A YAML node as text, a tuple for a list, and a dictionary (which no setting takes) for a mapping."""
    if isinstance(node, yaml.ScalarNode):
        return node.value
    return tuple(plain(item) for item in node.value) if isinstance(node, yaml.SequenceNode) else {}


def nearest(name: str, known: Collection[str], prefix: str = "") -> str:
    """The end of a sentence: which names, written with ``prefix``, may have been meant."""
    close = [prefix + match for match in difflib.get_close_matches(name, known, n=2)]
    return f", did you mean {' or '.join(close)}?" if close else ""
