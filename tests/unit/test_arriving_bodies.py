"""Room for bodies that are on their way: for all together, and for one address."""

from service.connections import Connections


def test_an_address_has_half_of_the_room_and_a_proxy_all_of_it() -> None:
    room = Connections(10, 10, lambda address: address == "proxy", 8)
    assert room.hold(4, "a")
    assert not room.hold(1, "a")
    assert room.hold(3, "b")
    assert room.hold(1, "b")
    assert not room.hold(1, "c")
    room.release(4, "a")
    assert not room.hold(1, "b")
    assert room.hold(4, "a")
    room.release(3, "a")
    room.release(4, "b")
    assert room.hold(7, "proxy")
    assert not room.hold(1, "proxy")


def test_who_holds_nothing_any_more_is_not_remembered() -> None:
    room = Connections(10, 10, arriving_bytes_max=8)
    for address in map(str, range(100)):
        assert room.hold(3, address)
        room.release(2, address)
        room.release(1, address)
        room.release(0, address)
    assert room._arriving_by_address == {}
    assert room._arriving_bytes == 0
