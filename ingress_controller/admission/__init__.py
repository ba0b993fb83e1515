"""Validation when an Ingress, or rules that Ingresses share, are applied: a webhook that the API server asks.

In: what the API server sends of an object. Out: an answer that carries the text of the Events that the object would
get. It has no side effects, and looks at no other object.
"""
