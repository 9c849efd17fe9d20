"""Freed memory goes back to the system in a pause, in a process of its own: what is asked of the allocator stays."""

import subprocess
import sys

from app.heap_trimming import glibc

MIB = 1024 * 1024
PROGRAM = """
import time
from app.heap_trimming import Trimmer, resident_bytes

trimmer = Trimmer()
trimmer.look()
blocks, pins = [], []
for _ in range(400):
    blocks.append(bytearray(b"x") * 500_000)
    pins.append(bytearray(2_000))  # what is still in use lies behind what is not
full = resident_bytes()
blocks.clear()
freed = resident_bytes()
began = time.process_time()
while time.process_time() < began + 0.2:
    pass
trimmer.look()
busy = resident_bytes()
time.sleep(0.3)
trimmer.look()
print(full, freed, busy, resident_bytes())
"""


def test_a_pause_returns_what_a_busy_process_keeps() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    full, freed, busy, paused = map(int, ran.stdout.split())
    if glibc() is None:
        return
    assert min(freed, busy) > full - 20 * MIB
    assert paused < full - 150 * MIB


def test_large_blocks_are_kept_for_the_next_step() -> None:
    program = """
from app.heap_trimming import M_MMAP_THRESHOLD, glibc, keep_freed, resident_bytes

keep_freed(256 * 2**20, 2**30)
before = resident_bytes()
block = b"x" * (100 * 2**20)
del block
print(resident_bytes() - before, int(glibc() is not None and glibc().mallopt(M_MMAP_THRESHOLD, 256 * 2**20)))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kept, allowed = map(int, ran.stdout.split())
    assert kept > 95 * MIB or not allowed
