# SPDX-License-Identifier: Apache-2.0
"""What the nodes of ``pydiffcore.adapters.comfyui`` are made of."""
