"""The command line: parse, call one function, print. Everything heavy is imported by the command
that needs it.
"""

import sys

try:
    from safelatent.cli.main import app, main
except KeyboardInterrupt:  # the imports take a moment, and no command has begun
    sys.stderr.write("safelatent: interrupted\n")
    raise SystemExit(130) from None

__all__ = ["app", "main"]
