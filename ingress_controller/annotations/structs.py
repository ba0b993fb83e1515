"""Annotation values that are maps of known fields.

In: YAML, and the struct that is the table of its fields. Out: the struct, or ``ValueError`` with the path of the field,
what is allowed there, and what was found. ``fields`` gives the same table to the reference.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from ingress_controller import strict_yaml
from ingress_controller.annotations import values
from ingress_controller.model.load_balancing import (
    CircuitBreakerThresholds,
    Duration,
    HealthCheck,
    OutlierDetection,
)

_Kind = TypeVar("_Kind")
_PLACE = re.compile(r"(.*?)(?: - at `\$\.?([^`]*)`)?", re.DOTALL)
_FEW = 8
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def read(value: Any, kind: type[_Kind]) -> _Kind:
    """Read plain values as a struct.

    Raises:
        ValueError: they are no such struct.
    """
    _refuse_unknown(value, inspect.type_info(kind), "")
    try:
        return msgspec.convert(value, kind, dec_hook=_duration)
    except msgspec.ValidationError as error:
        raise ValueError(_explain(value, kind, error)) from None


def outlier_detection(text: str) -> OutlierDetection:
    """The settings of outlier detection."""
    return read(strict_yaml.load(text), OutlierDetection)


def circuit_breaker_thresholds(text: str) -> CircuitBreakerThresholds:
    """The limits of an upstream."""
    return read(strict_yaml.load(text), CircuitBreakerThresholds)


def health_checks(text: str) -> HealthCheck:
    """A list of one health check."""
    value = strict_yaml.load(text)
    if not isinstance(value, list) or len(value) != 1:
        found = f"a list of {len(value)}" if isinstance(value, list) else values.kind_of(value)
        raise ValueError(f"must be a list of one map, since Envoy does one check, got {found}")
    return read(value[0], HealthCheck)


def _refuse_unknown(value: Any, info: inspect.Type, path: str) -> None:
    match _plain(info), value:
        case inspect.StructType(fields=found), dict():
            known = {field.name: field.type for field in found}
            for name, inner in value.items():
                if name not in known:
                    raise ValueError(f"{path}{'.' if path else ''}{str(name)[:80]} is unknown; {_known(name, known)}")
                _refuse_unknown(inner, known[name], f"{path}.{name}".removeprefix("."))
        case inspect.VarTupleType(item_type=item), list():
            for index, inner in enumerate(value):
                _refuse_unknown(inner, item, f"{path}[{index}]")


def _known(name: object, known: Iterable[str]) -> str:
    if near := difflib.get_close_matches(str(name), known, n=3, cutoff=0.5):
        return f"the nearest known are {', '.join(near)}"
    names = list(known)
    return (
        f"known are {', '.join(names)}" if len(names) <= _FEW else "docs/reference/annotations.md lists the known ones"
    )


def _explain(value: Any, kind: type, error: msgspec.ValidationError) -> str:
    """The message with what is allowed, in the words of the reference."""
    found = _PLACE.fullmatch(str(error))
    assert found  # noqa: S101 (it matches everything)
    message, path = found[1], found[2] or ""
    where = f"{path}: " if path else ""
    if isinstance(error.__cause__, ValueError):
        return f"{where}{message}"
    if missing := _MISSING.fullmatch(message):
        return f"{where}{missing[1]} must be given"
    info = inspect.type_info(kind)
    for step in re.findall(r"\w+", path):
        value = value[int(step)] if isinstance(value, list) else value[step]
        info = _inside(info, step)
    return f"{where}must be {allowed(info)}, got {_shown(value)}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool | int | float) else values.kind_of(value)


def _duration(kind: type, value: Any) -> Any:
    """Called for every type that is not built in, which here are kinds of duration."""
    assert issubclass(kind, Duration)  # noqa: S101 (there is no other)
    found = values.duration(value) if isinstance(value, str) else None
    if found is None or not kind.SHORTEST <= found <= kind.LONGEST:
        raise ValueError(f"must be {_allowed_duration(kind)}, got {_shown(value)}")
    return kind(days=found.days, seconds=found.seconds, microseconds=found.microseconds)


def _inside(info: inspect.Type, step: str) -> inspect.Type:
    match _plain(info):
        case inspect.StructType(fields=fields):
            return next(field.type for field in fields if field.name == step)
        case inspect.VarTupleType(item_type=item):
            return item
    raise AssertionError(f"{info} has nothing inside")


def _plain(info: inspect.Type) -> inspect.Type:
    """The type without what is said about it, and without ``None``."""
    match info:
        case inspect.Metadata(type=inner):
            return _plain(inner)
        case inspect.UnionType():
            return _plain(_without_none(info))
    return info


def allowed(info: inspect.Type) -> str:
    """What may be written, for people."""
    if isinstance(info, inspect.Metadata) and (title := (info.extra_json_schema or {}).get("title")):
        return str(title)
    match info:
        case inspect.Metadata(type=inner):
            return allowed(inner)
        case inspect.UnionType():
            return allowed(_without_none(info))
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.CustomType(cls=kind):
            return _allowed_duration(kind)
        case inspect.LiteralType(values=words):
            return f"{', '.join(map(str, words[:-1]))} or {words[-1]}"
        case inspect.VarTupleType(max_length=most):
            return f"a list of 1 to {most} maps"
    return "true or false" if isinstance(info, inspect.BoolType) else "a map"


def _without_none(union: inspect.UnionType) -> inspect.Type:
    return next(each for each in union.types if not isinstance(each, inspect.NoneType))


def _allowed_duration(kind: type[Duration]) -> str:
    return f"a duration from {written(kind.SHORTEST)} to {written(kind.LONGEST)}"


def written(length: timedelta) -> str:
    """A duration as it may be written."""
    seconds = length.total_seconds()
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    return f"{seconds:g}s" if seconds % 3600 or not seconds else f"{seconds / 3600:g}h"


def fields(kind: type) -> Iterator[tuple[str, str, bool, str]]:
    """Path, what is allowed, whether it must be given, and meaning of each field, those of nested structs after it."""
    yield from _fields(_plain(inspect.type_info(kind)), "")


def _fields(info: inspect.Type, path: str) -> Iterator[tuple[str, str, bool, str]]:
    match info:
        case inspect.StructType(fields=found):
            for field in found:
                assert isinstance(field.type, inspect.Metadata)  # noqa: S101 (every field says what it means)
                name = f"{path}{field.name}"
                yield name, allowed(field.type), field.required, (field.type.extra_json_schema or {})["description"]
                yield from _fields(_plain(field.type), f"{name}.")
        case inspect.VarTupleType(item_type=item):
            yield from _fields(_plain(item), f"{path.removesuffix('.')}[].")
