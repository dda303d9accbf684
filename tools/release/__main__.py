"""``python -m tools.release VERSION``. ``make release VERSION=1.2.3`` calls this."""

import sys

from tools.release.command import main

sys.exit(main())
