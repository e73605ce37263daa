"""Reads the exported data arrays of a shared library, with no linker or loader involved.

The layout is that of the System V ABI, "Object Files", for 64-bit little-endian ELF.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAGIC = b"\x7fELF\x02\x01"  # 64-bit, little-endian
SECTION_PROGBITS = 1
SECTION_DYNSYM = 11
SYMBOL_OBJECT = 1
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")


class Section(NamedTuple):
    """One entry of the section header table."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


def data_symbols(path: Path) -> dict[str, np.ndarray]:
    """Reads every exported data object with bytes in the file, as a flat float32 array, by name."""
    blob = path.read_bytes()
    if not blob.startswith(MAGIC):
        raise ValueError(f"{path.name} is not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", blob, 40)
    entry_size, count = struct.unpack_from("<HH", blob, 58)
    sections = [
        Section(*SECTION_HEADER.unpack_from(blob, table + i * entry_size)) for i in range(count)
    ]

    found: dict[str, np.ndarray] = {}
    for symbols in (s for s in sections if s.kind == SECTION_DYNSYM):
        strings = sections[symbols.link].offset
        for at in range(symbols.offset, symbols.offset + symbols.size, SYMBOL.size):
            name_at, info, _, index, address, size = SYMBOL.unpack_from(blob, at)
            if info & 15 != SYMBOL_OBJECT or not 0 < index < count or size == 0:
                continue
            home = sections[index]
            if home.kind != SECTION_PROGBITS:
                continue
            end = blob.index(b"\0", strings + name_at)
            name = blob[strings + name_at : end].decode()
            start = home.offset + address - home.address
            found[name] = np.frombuffer(blob, "<f4", size // 4, start).copy()
    return found
