"""What policy costs a request: requests a second through Envoy, beside a listener that does nothing.

In: variants of a proxy, each a real Envoy with one worker on a core of its own. Out: their requests a second in turn,
as ratios to the bare listener. The load and the upstream run on the other core, and ask over 32 TLS connections that
are kept, so that the proxy under test is what is busy.
"""
