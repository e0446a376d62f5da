# SPDX-License-Identifier: Apache-2.0
"""Child interpreters and deadlines."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest


def script(source: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python of its own that runs `source`."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Deadline:
    """`while deadline.open():` ends with a failure instead of never."""

    def __init__(self, seconds: float, what: str) -> None:
        self._end = time.monotonic() + seconds
        self._what = what

    def open(self) -> bool:
        if time.monotonic() > self._end:
            pytest.fail(f"deadline passed: {self._what}")
        return True
