PYTHON ?= python3
BIN := .venv/bin
export PYTHONUTF8 = 1

.DEFAULT_GOAL := help
.PHONY: help demo reproduce test check docs lab prepare clean

help: ## 列出这些命令
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

.venv/installed: settings.ini setup.py pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo '找不到 $(PYTHON)：装上 Python 3.11 或更新的版本，或指定一个，例如 make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "$(PYTHON) 是 Python %d.%d，需要 3.11 或更新的版本；指定一个，例如 make PYTHON=python3.12" % v[:2])'
	@echo '建立 .venv 并安装依赖（PyTorch 约 5 GB，需要几分钟）'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile -q -e '.[dev]'
	@touch $@

demo: .venv/installed ## 训练一个小 U-Net，结果在 runs/demo
	@rm -rf runs/demo
	$(BIN)/unet_train --out runs/demo

reproduce: .venv/installed ## 训练08章表里的每一行（许多小时；停了再来，跑过的跳过）
	nice $(BIN)/python benchmarks/reproduce.py
	$(BIN)/python benchmarks/silver.py
	$(BIN)/python benchmarks/touching.py

test: .venv/installed ## 检查 CI 检查的一切
	$(BIN)/python tools/check.py

check: .venv/installed ## 只查一章，例如 make check NB=05：写法、干净、与模块一致、跑通
	@test -n '$(NB)' || { echo '写上章号，例如 make check NB=05'; exit 1; }
	$(BIN)/python tools/check.py $(NB)

docs: .venv/installed ## 建网站到 _docs
	$(BIN)/python tools/docs.py

lab: .venv/installed ## 在 Jupyter 里打开 nbs
	$(BIN)/jupyter lab --notebook-dir=nbs

prepare: .venv/installed ## 改完笔记后：导出、重跑并存下输出、清理、生成 README；NB=05 只重跑一章
	$(BIN)/nbdev_export
	$(BIN)/python tools/notebooks.py --write $(NB)
	$(BIN)/python tools/readme.py

clean: ## 删掉可以再生成的文件（不动 .venv、数据和 runs）
	rm -rf _docs _proc build dist *.egg-info nbs/nbdev.yml
