"""One decoding process as its parent has it. What the protocol does is in test_pool and test_sandbox."""

import gc
import warnings
from typing import Any

from classifier.process import Process


def test_its_socket_is_closed_when_it_is_garbage_in_a_cycle() -> None:
    early: list[Any] = []
    process = Process(None, 512 << 20, 10, 10)
    early.append(process._socket)
    late: list[Any] = [process]
    del process
    # The collector now meets the socket before the process: what is old holds the one, what is new the other.
    gc.collect()
    late[0].kill()
    late[0].itself = late[0]
    number = early[0].fileno()
    assert number > 0
    del early[:], late[:]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in said] == []
