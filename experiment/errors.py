"""What a caller did wrong, apart from what is a fault of this project."""


class UserError(ValueError):
    """Bad input, in one sentence: the thing, its value, what is allowed, what to do.

    The command lines turn this, and nothing else, into that sentence and exit code 2. Any other exception is
    a fault of the project: it shows its traceback.
    """
