"""Damage that knows nothing of the format: bytes flipped, cut, inserted, zeroed, moved."""

import numpy as np

INTEGERS = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31,
            2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**64 - 1)  # fmt: skip


def damaged(rng: np.random.Generator, data: bytes) -> tuple[bytes, str]:
    """(the damaged bytes, what was done); most damage falls into the first kilobyte or the last."""
    body = bytearray(data or b"?")
    size = len(body)
    spot = int(rng.integers(size))
    if rng.random() < 0.6:
        spot = int(rng.integers(min(size, 1024)))
        spot = spot if rng.random() < 0.5 else size - 1 - spot
    length = int(rng.choice([1, 2, 4, 8, 64, 512]))
    match rng.integers(7):
        case 0:
            for _ in range(int(rng.choice([1, 1, 2, 8]))):
                body[spot] ^= 1 << int(rng.integers(8))
                spot = int(rng.integers(size))
            return bytes(body), f"bits flipped around byte {spot}"
        case 1:
            body[spot : spot + length] = rng.bytes(min(length, size - spot))
            return bytes(body), f"{length} bytes at {spot} made random"
        case 2:
            return bytes(body[:spot]), f"cut after {spot} of {size} bytes"
        case 3:
            body[spot:spot] = rng.bytes(length)
            return bytes(body), f"{length} random bytes inserted at {spot}"
        case 4:
            del body[spot : spot + length]
            return bytes(body), f"{length} bytes at {spot} deleted"
        case 5:
            value = int(rng.choice([0, 255]))
            body[spot : spot + length] = bytes([value]) * min(length, size - spot)
            return bytes(body), f"{length} bytes at {spot} made {value}"
        case _:
            part = body[spot : spot + length]
            place = int(rng.integers(size))
            body[place : place + len(part)] = part
            return bytes(body), f"{len(part)} bytes at {spot} copied to {place}"


def integer(rng: np.random.Generator, bits: int, old: int = 0) -> int:
    """A hostile unsigned integer: an extreme, a neighbour of the old one, or its multiple."""
    choice = rng.integers(5)
    if choice == 0:
        value = old + int(rng.choice([-2, -1, 1, 2]))
    elif choice == 1:
        value = old * int(rng.choice([2, 3, 10, 100, 1000]))
    elif choice == 2:
        value = int(rng.integers(1 << min(bits, 62)))
    else:
        value = int(INTEGERS[rng.integers(len(INTEGERS))])
    return value % (1 << bits)
