# SPDX-License-Identifier: Apache-2.0
"""Every process, by name."""

import mpmath as mp

from pydiffcore import process as processes

CONTINUOUS = {
    "vp": processes.vp(),
    "vp_constant": processes.vp(2.0, 2.0),
    "sub_vp": processes.sub_vp(),
    "ve": processes.ve(),
    "ve_sigma": processes.ve(0.01, 50.0, label="sigma"),
    "ve_sqrt": processes.ve_sqrt(),
    "edm": processes.edm(),
    "flow": processes.flow(),
    "cosmos": processes.cosmos(),
    "tangent": processes.tangent(),
    "tangent_shifted": processes.tangent(0.25),
    "cascade": processes.cascade(),
    "cascade_shifted": processes.cascade(2.0),
    "vp_between": processes.vp_between(),
    "azula_vp": processes.azula_vp(),
    "azula_cosine": processes.azula_cosine(),
    "azula_rectified": processes.azula_rectified(),
    "azula_decay": processes.azula_decay(0.01, 0.02, 0.3),
}
TABLES = {
    "linear": processes.discrete(processes.linear_betas()),
    "scaled": processes.discrete(processes.scaled_linear_betas()),
    "cosine": processes.discrete(processes.cosine_betas(100)),
    "iddpm": processes.iddpm(),
    "single": processes.discrete([0.3]),
    "zero_terminal": processes.discrete([0.1, 0.2, 0.5, 1.0]),
}
ALL = CONTINUOUS | TABLES
MILLI = mp.mpf(0.001)  # the scale at which azula's processes end
