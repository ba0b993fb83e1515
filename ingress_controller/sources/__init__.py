"""Where objects come from: a cluster, or directories of manifests.

In: an API server, or files. Out: batches of changes (``objects.change``), the first of which is complete. Nothing
beyond this package knows which of the two it was.
"""
