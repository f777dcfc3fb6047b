# SPDX-License-Identifier: Apache-2.0
"""The order of every deterministic sampler, fitted against the exact solution of the ODE.

``benchmarks/orders.py`` has the data, the levels and the range.  A method may converge faster than
its order on this data; it falls short where it is more than 0.15 slower.
"""

from benchmarks.claims.claim import Figure, main
from benchmarks.orders import DETERMINISTIC, fitted


def measure():
    for case in DETERMINISTIC:
        order, note = fitted(case)
        bar = f">= {case.order - 0.15:g}"
        yield Figure(f"{case.id}, of order {case.order}", order, bar, "", note)


if __name__ == "__main__":
    main(measure)
