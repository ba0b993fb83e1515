"""Values of annotations that are maps, for property tests.

In: the structs that are their tables. Out: strategies whose values follow every limit that the tables state, and prefer
the limits themselves. What a struct demands of its fields together, they do not know.
"""

import string
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from ingress_controller.annotations.structs import written
from ingress_controller.model.load_balancing import Duration


def values_of(info: inspect.Type) -> st.SearchStrategy[Any]:
    """What may be written for a type, as plain values."""
    match info:
        case inspect.Metadata(type=inner) | inspect.UnionType(types=(inner, inspect.NoneType())):
            return values_of(inner)
        case inspect.IntType(ge=int(low), le=int(high)):
            return st.sampled_from((low, high)) | st.integers(low, high)
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern, alphabet=st.sampled_from(string.printable))
        case inspect.LiteralType(values=words):
            return st.sampled_from(words)
        case inspect.CustomType(cls=kind):
            assert issubclass(kind, Duration)
            return durations(kind.SHORTEST, kind.LONGEST)
        case inspect.VarTupleType(item_type=item, min_length=least):
            return st.lists(values_of(item), min_size=least or 0, max_size=3)
        case inspect.StructType(fields=fields):
            required = {field.name: values_of(field.type) for field in fields if field.required}
            optional = {field.name: values_of(field.type) for field in fields if not field.required}
            return st.fixed_dictionaries(required, optional=optional)
    assert isinstance(info, inspect.BoolType)
    return st.booleans()


def durations(shortest: timedelta, longest: timedelta) -> st.SearchStrategy[str]:
    middle = st.timedeltas(shortest, longest).map(lambda length: f"{length // timedelta(milliseconds=1)}ms")
    return st.sampled_from((written(shortest), written(longest))) | middle


def maps(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """What may be written for a struct."""
    return values_of(inspect.type_info(kind))
