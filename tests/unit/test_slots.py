"""Slots are shared between attempts of our own and tasks that are claimed."""

from __future__ import annotations

from tenuto.engine.slots import Slots


def slots(total: int) -> Slots:
    made = Slots()
    made.total = total
    return made


def test_whoever_is_alone_gets_all() -> None:
    assert slots(5).grant(9) == 5
    assert slots(5).grant(2) == 2
    assert slots(5).grant(0) == 0
    assert slots(5).reserve(9) == 5
    assert slots(5).reserve(2) == 2


def test_what_was_reserved_and_is_not_needed_is_free_again() -> None:
    some = slots(5)
    assert some.reserve(4) == 4
    assert some.free == 1
    some.give_back(3, more=False)
    assert some.free == 4
    assert not some.hungry


def test_when_both_wait_each_gets_half_of_what_becomes_free() -> None:
    some = slots(10)
    assert some.reserve(20) == 10
    some.in_use -= 8
    assert some.grant(100) == 4
    some.in_use += 4
    assert some.free == 0
    assert some.reserve(20) == 4


def test_a_single_slot_goes_to_one_and_the_other_in_turn() -> None:
    some = slots(1)
    served = []
    for _ in range(6):
        some.hungry = True
        if some.grant(10):
            served.append("ours")
        else:
            assert some.reserve(1) == 1
            served.append("claimed")
            some.in_use -= 1
    assert served == ["claimed", "ours"] * 3


def test_slots_kept_for_claims_that_find_nothing_are_free_again() -> None:
    some = slots(2)
    some.hungry = True
    assert some.grant(10) == 1
    some.in_use += 1
    assert some.free == 0
    assert some.reserve(5) == 1
    some.give_back(1, more=False)
    assert some.grant(10) == 1
