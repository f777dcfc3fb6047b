# SPDX-License-Identifier: Apache-2.0
"""Training data: sources of images and labels, their order, their reading, their augmentation.

    source = open_source("faces.zip")
    with Loader(source, batch=256) as loader:
        for batch in loader: ...

It knows images and labels, and nothing of diffusion.
"""

from pydiffcore.data.array import Array as Array
from pydiffcore.data.augment import Augmentation as Augmentation
from pydiffcore.data.augment import dropped as dropped
from pydiffcore.data.augment import mirrored as mirrored
from pydiffcore.data.codec import Codec as Codec
from pydiffcore.data.digits import digits as digits
from pydiffcore.data.faults import BadImages as BadImages
from pydiffcore.data.faults import Fault as Fault
from pydiffcore.data.fingerprint import fingerprint as fingerprint
from pydiffcore.data.loader import Batch as Batch
from pydiffcore.data.loader import Loader as Loader
from pydiffcore.data.numbers import Numbers as Numbers
from pydiffcore.data.opening import open_source as open_source
from pydiffcore.data.order import Order as Order
from pydiffcore.data.source import Source as Source
from pydiffcore.data.span import Span as Span
from pydiffcore.data.span import Units as Units
from pydiffcore.data.wrapped import Wrapped as Wrapped
