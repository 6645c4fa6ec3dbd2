"""Indirect addresses: bytes of a control table that stand for other bytes of it."""

from collections.abc import Iterator

from robot_mbrl.drivers.registers import ControlTable


class IndirectMap:
    """Where each byte of indirect data points, as the addresses in memory say."""

    def __init__(self, table: ControlTable) -> None:
        """Find the pairs `indirect_address_i`, `indirect_data_i` of `table`; there may be none."""
        self._pointer_of = {
            register.address: table[register.name.replace("data", "address")].address
            for register in table
            if register.name.startswith("indirect_data_")
        }

    def places(self, address: int, size: int) -> Iterator[int]:
        """Which of the bytes from `address` on are indirect data."""
        return (place for place in range(address, address + size) if place in self._pointer_of)

    def target(self, memory: bytearray, place: int) -> int:
        """The address that the indirect byte at `place` stands for, one step only."""
        pointer = self._pointer_of[place]
        return memory[pointer] | memory[pointer + 1] << 8

    def resolve(self, memory: bytearray, address: int, data: bytes) -> list[tuple[int, bytes]]:
        """A write as runs of bytes at their true addresses, in order."""
        runs: list[tuple[int, bytes]] = []
        for place, value in enumerate(data, address):
            true_place = self.target(memory, place) if place in self._pointer_of else place
            if runs and runs[-1][0] + len(runs[-1][1]) == true_place:
                runs[-1] = (runs[-1][0], runs[-1][1] + bytes((value,)))
            else:
                runs.append((true_place, bytes((value,))))
        return runs
