"""Which of several processes speaks, before Accelerate knows them: their launcher says."""

import os


def speaks() -> bool:
    """Say whether this process is the first one, or the only one."""
    return os.environ.get("RANK", "0") == "0"
