"""``python -m tools.demo``. ``make demo`` calls this."""

import sys

from tools.demo.command import main

sys.exit(main())
