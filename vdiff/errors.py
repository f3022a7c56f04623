"""The one exception that users see: its message is a sentence they can act on."""


class VdiffError(Exception):
    """Bad input or a broken environment; the command line prints it without a traceback."""


def first_line(error: Exception) -> str:
    """What went wrong, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
