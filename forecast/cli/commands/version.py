"""`lstmcast --version`: this program's version; with --json those of what it runs on."""

from __future__ import annotations

import platform
import sys
from importlib import metadata


def version() -> str:
    """The installed version, "unknown" when the package is not installed."""
    try:
        return metadata.version("lstmcast")
    except metadata.PackageNotFoundError:
        return "unknown"


def show_version(as_json: bool) -> int:
    """Prints the version, or the document that a bug report needs. Only the latter needs torch."""
    if not as_json:
        print(f"lstmcast {version()}")
        return 0
    import torch

    from forecast.cli.error_handler import SCHEMA_VERSION, print_json

    cuda = torch.cuda.is_available()
    document = {
        "schema_version": SCHEMA_VERSION,
        "lstmcast": version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else [],
    }
    print_json(document, sys.stdout)
    return 0
