# Two commands from a bare clone: `make quickstart` and `make test`. Both set themselves up in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: quickstart test lint claims sanitize clean

$(VENV)/.installed: pyproject.toml CMakeLists.txt constraints.txt $(shell find csrc -type f)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch scikit-build-core pybind11 ninja cmake
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[test,lint]'
	touch $@

quickstart: $(VENV)/.installed
	$(BIN)/pydiffcore quickstart

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.inl' 'csrc/*.cu' 'csrc/*.cuh' 'examples/*.c' 'tests/*.cpp')

claims: $(VENV)/.installed
	$(BIN)/python -m benchmarks.claims core

sanitize: $(VENV)/.installed
	bash tests/sanitize.sh

clean:
	rm -rf build $(VENV)
