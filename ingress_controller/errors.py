"""The one error that ends the program because of how it was started.

In: a flag, file or folder that cannot be used. Out: one line per mistake on standard error and exit status 2,
written by the command line. Objects of users never raise it: their mistakes are ``model.problem`` values.
"""


class StartError(Exception):
    """The program cannot start as it was told.

    The message is one line per mistake. Each names the flag (or the environment variable, or the key of the
    configuration file) that has to change, what was wrong and what is allowed; none holds a secret.
    """
