"""A process knows its age."""

import subprocess
import sys
import time

from playground_ext.party.process_age import process_age

TICK = 0.02  # seconds

_CHILD = """
import time
from playground_ext.party.process_age import process_age
print(time.monotonic() - process_age())
"""


def test_a_process_was_born_between_the_moments_before_and_after_its_start() -> None:
    before = time.monotonic()
    child = subprocess.Popen([sys.executable, "-c", _CHILD], stdout=subprocess.PIPE, text=True)
    after = time.monotonic()
    born = float(child.communicate(timeout=60)[0])

    assert before - TICK <= born <= after + TICK
    assert process_age() > time.monotonic() - before
