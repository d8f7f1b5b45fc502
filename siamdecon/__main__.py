"""`python -m siamdecon` is the command line."""

import sys

from siamdecon.cli import main

sys.exit(main())
