"""The bounded memory under all of access."""

from entrepot.access.ttl_cache import Memory
from tests.unit.access.conftest import Clock


def test_entries_end(clock: Clock) -> None:
    """An entry is there until its last moment, and gone then."""
    memory: Memory[str, int] = Memory(limit=10, seconds=5, clock=clock)
    memory.put("a", 1)
    memory.put("b", 2, seconds=1)
    clock.now += 0.9
    assert (memory.find("a"), memory.find("b")) == (1, 2)
    clock.now += 0.1
    assert (memory.find("a"), memory.find("b")) == (1, None)
    clock.now += 4
    assert memory.find("a") is None
    assert len(memory) == 0


def test_an_entry_put_again_lives_anew(clock: Clock) -> None:
    """The newest value counts, for its own time."""
    memory: Memory[str, int] = Memory(limit=10, seconds=5, clock=clock)
    memory.put("a", 1)
    clock.now += 4
    memory.put("a", 2)
    clock.now += 4
    assert memory.find("a") == 2


def test_the_least_used_go_first(clock: Clock) -> None:
    """A full memory drops what nobody asked for longest."""
    memory: Memory[int, int] = Memory(limit=3, seconds=5, clock=clock)
    for number in range(3):
        memory.put(number, number)
    memory.find(0)
    memory.put(3, 3)
    assert [memory.find(number) for number in range(4)] == [0, None, 2, 3]


def test_forgetting(clock: Clock) -> None:
    """One entry or all of them; what is not there is no error."""
    memory: Memory[str, int] = Memory(limit=3, seconds=5, clock=clock)
    memory.put("a", 1)
    memory.put("b", 2)
    memory.forget("a")
    memory.forget("a")
    assert (memory.find("a"), memory.find("b")) == (None, 2)
    memory.clear()
    assert memory.find("b") is None


def test_an_entry_without_time_is_never_found(clock: Clock) -> None:
    """A token that had expired when it was checked, within an upload's grace, is not remembered."""
    memory: Memory[str, int] = Memory(limit=3, seconds=5, clock=clock)
    memory.put("a", 1, seconds=-3)
    assert memory.find("a") is None
