"""What a host may lack: locally its tests are skipped, in CI they fail."""

import os

import pytest


def needs(required: str, **parts: object) -> pytest.MarkDecorator:
    """Skips where one of the parts is missing, and says which; not where that variable is `required`, as in .ci/run."""
    missing = ", ".join(name for name, part in parts.items() if not part)
    return pytest.mark.skipif(bool(missing) and os.environ.get(required) != "required", reason=f"no {missing}")
