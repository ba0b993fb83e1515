"""Tells the owners of objects what became of them: Events, log lines, and the status of Ingresses.

In: the outcome of compiling each Ingress, and the Service whose addresses Ingresses show. Out: writes to the API
server, or lines of the log. It holds up nothing: what it is told it keeps and says later, in tasks of its own.
"""
