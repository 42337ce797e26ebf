import socket

import pytest

from service.sockets import PortTaken, listen, reserve, reserve_alone


def test_a_port_on_which_another_installation_listens_is_not_shared_with_it() -> None:
    with listen("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"WELLTIMED_PORT: cannot listen on 127.0.0.1:{port}"):
            reserve_alone("127.0.0.1", port)


def test_the_processes_of_one_installation_share_its_port() -> None:
    with reserve_alone("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        with listen("127.0.0.1", port), listen("127.0.0.1", port), socket.create_connection(("127.0.0.1", port)):
            pass
    with reserve("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with reserve_alone("127.0.0.1", port):
        pass
