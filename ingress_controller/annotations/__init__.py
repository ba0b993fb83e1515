"""What may be written on an Ingress: the one table of annotations, and the parser that follows it.

In: the annotations of an object. Out: typed settings, or the problems found. Everything that is known of an annotation
(its type, limits, meaning and where it lands) stands in ``table``; documentation and error messages come from there.
"""
