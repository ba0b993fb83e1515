"""The Pomerium Policy Language: from text to the typed tree, and from the tree to a decision.

``parse`` and ``allowed`` read what Ingresses say; ``plan`` is what a policy means for a request that is or is not
signed in; ``evaluate`` explains one decision. The proxy's form of the same plan is made by ``envoy.policy``.
"""
