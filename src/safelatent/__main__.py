"""``python -m safelatent``."""

import sys

from safelatent.cli import main

if __name__ == "__main__":
    sys.exit(main())
