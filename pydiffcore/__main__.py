# SPDX-License-Identifier: Apache-2.0
"""``python -m pydiffcore`` is the command ``pydiffcore``."""

import sys

from pydiffcore.cli.main import main

sys.exit(main())
