# SPDX-License-Identifier: Apache-2.0
"""Evaluation: how good samples are, measured against data that no training has seen."""

from pydiffcore.evaluate.frechet import frechet as frechet
from pydiffcore.evaluate.judge import agreement as agreement
from pydiffcore.evaluate.judge import features as features
from pydiffcore.evaluate.judge import train_judge as train_judge
from pydiffcore.evaluate.memorisation import Memorisation as Memorisation
from pydiffcore.evaluate.memorisation import memorisation as memorisation
from pydiffcore.evaluate.memorisation import nearest as nearest
from pydiffcore.evaluate.yardstick import Score as Score
from pydiffcore.evaluate.yardstick import Yardstick as Yardstick
