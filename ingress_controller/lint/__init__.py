"""Everything that is wrong, or likely wrong, with manifests, at the place where it is written.

In: documents with their places, and the options of the translation. Out: findings. Errors are those of the compiler
itself; warnings are of what works, and hardly does what was meant.
"""
