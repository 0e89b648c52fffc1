"""`python -m search` is `deeppp`."""

import sys

from search.cli import main

sys.exit(main())
