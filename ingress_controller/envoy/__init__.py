"""The model as Envoy's messages.

In: hosts, upstreams, endpoints and what has changed of them. Out: encoded xDS resources. One small module for each
kind of resource, and under ``filters`` one for each HTTP filter; the layout is described in
``docs/explanation/architecture.md``.
"""

from ingress_controller.envoy import library

library.install()
