"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """Its message names what is wrong, where, and what to do.

    `python -m stages` and the `malaria` command print it and exit with status 1; a library user catches it.
    """
