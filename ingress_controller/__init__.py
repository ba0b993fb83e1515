"""An identity-aware ingress controller: annotated Ingresses become protected, served routes.

The packages are the stages of one pipeline and import one way (``docs/explanation/architecture.md``):
``sources`` bring ``objects``; ``translate`` turns them, with ``annotations`` and ``policy``, into
values of the ``model``; ``envoy`` encodes those; ``report`` tells the objects' owners.
"""
