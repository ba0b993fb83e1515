"""Typed, minimal views of the Kubernetes objects that are read, and the indexed store of them.

In: decoded JSON or YAML of an object. Out: frozen values with just the fields that the later stages use,
or a ``Malformed`` that says where the object is not what its kind demands.
"""
