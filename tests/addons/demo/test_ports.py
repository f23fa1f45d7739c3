import socket

import pytest

from addons.demo.ports import Port


def test_a_port_is_taken_until_it_is_released() -> None:
    with Port() as port, socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port.number))
        port.release()
        other.bind(("127.0.0.1", port.number))


def test_it_is_free_again_at_the_end() -> None:
    with Port() as port:
        pass
    with socket.socket() as other:
        other.bind(("127.0.0.1", port.number))
