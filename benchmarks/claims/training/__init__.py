# SPDX-License-Identifier: Apache-2.0
"""What training promises: the same bits after any interruption and on any number of ranks.

And what its steps cost beside those of others.
"""

ORDER = ["killed", "ranks", "nonsense", "speed"]
