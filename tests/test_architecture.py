# SPDX-License-Identifier: Apache-2.0
"""The arrows between modules point down only; the core needs torch and numpy alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pydiffcore"
LAYER = {
    "samplers": 1, "process": 1, "levels": 1, "prediction": 1, "exact": 1, "atomic": 1, "hints": 1,
    "plan": 2,
    "ops": 3, "_core": 3,
    "denoiser": 4, "guidance": 4, "condition": 4, "given": 4, "sample": 4, "loop": 4, "capture": 4,
    "direct": 4, "search": 4, "rescale": 4,
    "networks": 5, "data": 5,
    "train": 6, "evaluate": 6, "adapters": 6,
    "cli": 7, "study": 7,
}  # fmt: skip
OPTIONAL = {"sklearn", "safetensors", "matplotlib", "PIL", "tqdm", "diffusers", "scipy"}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Yield (module, is inside a function) of every import of a file."""
    tree = ast.parse(path.read_text())
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) in inner
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", id(node) in inner
            if node.module == "pydiffcore":
                for name in node.names:
                    yield f"pydiffcore.{name.name}", id(node) in inner


def layer_of(module):
    parts = module.split(".")
    return LAYER.get(parts[1]) if parts[0] == "pydiffcore" and len(parts) > 1 else None


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in ("__init__", "__main__"):
        return
    own = LAYER[part]
    for module, _ in imports(path):
        other = layer_of(module)
        assert other is None or other <= own, f"{path} (layer {own}) imports {module}"
        if part == "networks":
            assert not module.startswith("pydiffcore") or other == 5, f"{path} imports {module}"
        if part == "data":
            below = ("data", "ops", "atomic")  # images and labels, nothing of diffusion
            assert not module.startswith("pydiffcore.") or module.split(".")[1] in below, path
        if own <= 2:
            assert module.split(".")[0] != "torch", f"{path} imports torch"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_optional_packages_are_imported_where_they_are_used(path):
    for module, inside in imports(path):
        if module.split(".")[0] in OPTIONAL:
            assert inside, f"{path} imports {module} at its top"


def test_three_files_import_the_compiled_module():
    found = [p for p in SOURCES for m, _ in imports(p) if m.endswith("_core")]
    found += [p for p in SOURCES if re.search(r"import _core", p.read_text())]
    allowed = {"ops/native.py", "ops/program.py", "ops/weights.py"}
    assert {str(p.relative_to(PACKAGE)) for p in found} == allowed


def test_nothing_imports_pickle():
    assert not [p for p in SOURCES for m, _ in imports(p) if m.split(".")[0] == "pickle"]


def test_no_torch_or_pybind_below_the_binding():
    below = [p for d in ("include", "cpu", "cuda") for p in (ROOT / "csrc" / d).rglob("*.*")]
    assert below
    for path in below:
        assert not re.search(r"#include *[<\"](torch|ATen|c10|pybind11)", path.read_text()), path


def test_importing_needs_no_optional_package():
    blocked = ", ".join(f"{name!r}" for name in sorted(OPTIONAL))
    code = (
        "import sys\n"
        f"for name in ({blocked}): sys.modules[name] = None\n"
        "import pydiffcore\n"
        "print(pydiffcore.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0.1.0"
    assert done.stderr == ""


def test_sizes_of_files_and_functions():
    """300 lines a file and 60 a function are where reading gets hard."""
    long = []
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        text = path.read_text()
        if path.is_relative_to(PACKAGE) and text.count("\n") > 320:
            long.append(f"{path}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno > 60:
                if not ast.get_docstring(node) or len(ast.get_docstring(node).splitlines()) < 20:
                    long.append(f"{path}:{node.lineno} {node.name}")
    assert not long, "\n".join(long)


def test_every_sampler_fits_on_a_screen():
    for path in (PACKAGE / "samplers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1
                assert lines <= 20, f"{node.name} has {lines} lines"
