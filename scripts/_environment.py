# SPDX-License-Identifier: GPL-2.0-only
"""Imported first by each Python script here: go on in the private environment, with the library at hand."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"

if Path(sys.prefix) != ROOT / ".venv":
    if not PYTHON.exists():
        sys.exit("the private environment is not there yet: run scripts/prepare")
    os.execv(PYTHON, [PYTHON, *sys.argv])
sys.path.insert(0, str(ROOT))
