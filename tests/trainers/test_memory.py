"""What is freed is kept: no page is asked for twice."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from trainers.memory import keep_freed_memory

if "keep" in sys.argv:
    keep_freed_memory()
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(1 << 23)  # 64 MB: 16,384 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is Linux's")
def test_freed_memory_is_used_again():
    def faults(*arguments):
        done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < faults() / 10
