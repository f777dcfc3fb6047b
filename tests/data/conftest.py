# SPDX-License-Identifier: Apache-2.0
"""A folder of classes, and one thread: everything here is tiny."""

import pytest
from data_files import pixels, png


@pytest.fixture
def classes_folder(tmp_path):
    """Two classes of three images, one grey, one a JPEG, and a file that is none."""
    root = tmp_path / "bilder"
    for number, name in enumerate(("ähre", "猫")):
        (root / name / "tiefer").mkdir(parents=True)
        for place in range(2):
            (root / name / f"{place}.png").write_bytes(png(pixels(10 * number + place, 3, 8, 8)))
        (root / name / "tiefer" / "grau.PNG").write_bytes(png(pixels(5 + number, 1, 8, 8)))
    (root / "README.txt").write_text("no image")
    (root / ".hidden.png").write_bytes(b"no image either")
    return root


@pytest.fixture(autouse=True, scope="module")
def _tiny(one_thread):
    """Everything here is tiny."""
