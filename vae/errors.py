"""The one exception that is meant for people."""


class InputError(ValueError):
    """Input that cannot be used. The message is one sentence for the user: what was wrong and what is accepted.

    The page shows it beside the control that caused it, HTTP clients receive it as the error text, and the command
    line prints it and exits with code 2.
    """
