"""Entry point of the program `tflocation`."""

import sys

from tflocation.cli import main

if __name__ == "__main__":
    sys.exit(main())
