"""The one exception that users see: its message is a sentence they can act on."""


class VdiffError(Exception):
    """Bad input or a broken environment; the command line prints it without a traceback."""
