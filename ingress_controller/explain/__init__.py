"""What would happen to one request, and why.

In: hosts, as translation made them, and a request in the words of a person: a URL, a user. Out: the host and the route
that the proxy would choose, what stood in the way of the others, each criterion of the policy, and the answers. It
follows the proxy step by step; a property test on a real Envoy holds the two equal.
"""
