"""The exceptions of picofed: one root, and one line of text that a person can act on."""


class PicofedError(Exception):
    """Root of all foreseeable errors. str() is one line: what is wrong, what to do; the CLI exits with exit_status."""

    exit_status = 2
