"""The one way in which a stage ends when the mistake is not the program's."""


class UserError(SystemExit):
    """What the user can mend: as a SystemExit it ends a stage with its message and status 1, without a traceback."""
