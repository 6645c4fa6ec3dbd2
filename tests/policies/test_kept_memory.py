"""Freed memory is kept: a large block that is allocated again brings no page faults."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from robot_mbrl.policies.kept_memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    assert keep_freed_memory()
def churn():
    blocks = [bytearray(b"x") * 16_000_000 for _ in range(4)]

churn()
before = faults()
for _ in range(10):
    churn()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_blocks_that_were_freed_come_back_without_page_faults() -> None:
    def faults(manner: str) -> int:
        done = subprocess.run([sys.executable, "-c", PROGRAM, manner], capture_output=True, text=True, check=True)
        return int(done.stdout)

    pages = 10 * 4 * 16_000_000 // 4096
    assert faults("keep") < 0.01 * pages
    assert faults("free") > 0.1 * pages
