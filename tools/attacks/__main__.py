"""``python -m tools.attacks``: run all attacks. ``make attack`` calls this."""

import sys

from tools.attacks.campaign import main

sys.exit(main())
