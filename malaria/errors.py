"""The one way in which a program ends when the mistake is not its own."""


class UserError(SystemExit, Exception):
    """What the user can mend: as a SystemExit it ends a program with its message and status 1, without a traceback.

    As an Exception a program that uses this library can catch it like any other.
    """
