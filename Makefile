# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check setup bench clean

demo: .venv/installed
	@mkdir -p demo
	@$(BIN)/python -c "from PIL import Image; from skimage import data; \
	  Image.fromarray(data.astronaut()).save('demo/astronaut.jpg', quality=92)"
	@$(BIN)/visard protect demo/astronaut.jpg --force --report demo/report.json; test $$? -le 1
	@echo
	@echo "Before: demo/astronaut.jpg    After: demo/astronaut.visard.jpg    Verdict: demo/report.json"
	@echo "Your own photos: $(BIN)/visard protect holiday.jpg"

test: .venv/dev
	$(BIN)/pytest -n auto

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: .venv/dev

bench: .venv/dev
	$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/pip install -q -c constraints.txt --no-deps adv-lib torchattacks  # their other needs want torchvision
	$(BIN)/python benchmarks/speed.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

.venv/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch .venv/installed $@

clean:
	rm -rf .venv demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
