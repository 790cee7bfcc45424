"""The command line: parse, call one function, print. Everything heavy is imported by the command
that needs it.
"""

from safelatent.cli.main import app, main

__all__ = ["app", "main"]
