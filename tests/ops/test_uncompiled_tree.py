# SPDX-License-Identifier: Apache-2.0
"""A source tree that nobody compiled says so when it is imported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pydiffcore


def test_an_import_names_the_tree_and_the_remedy(tmp_path):
    tree = tmp_path / "pydiffcore"
    compiled = shutil.ignore_patterns("_core.*", "*.so", "__pycache__")
    shutil.copytree(Path(pydiffcore.__file__).parent, tree, ignore=compiled)
    # -S: an editable installation's finder would find the compiled module for any tree.
    code = f"import sys; sys.path[:] = {json.dumps([str(tmp_path), *sys.path])}; import pydiffcore"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: {tmp_path} is the source tree without its compiled")
    assert "`pip install -e .`" in said
    assert "another folder" in said
    assert "circular" not in done.stderr
