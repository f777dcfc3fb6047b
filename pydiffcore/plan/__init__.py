# SPDX-License-Identifier: Apache-2.0
"""Tracing a sampler into a Plan, the table that the runners execute."""

from pydiffcore.plan.plan import Plan as Plan
from pydiffcore.plan.symbols import TraceError as TraceError
from pydiffcore.plan.trace import trace as trace
