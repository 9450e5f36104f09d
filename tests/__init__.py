"""Tests: each folder holds those of the package of its name, `project` those of the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
