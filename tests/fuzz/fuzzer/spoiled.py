"""Files of settings and runs with something wrong in them: TOML, JSON, CSV, or none at all."""

import csv
import io
import json
from pathlib import Path

import numpy as np

from fuzzer.values import changed, hostile, toml_value

SLOW = ("width", "depth", "batch", "iter_size", "tile", "resize", "seeds")


def gone(rng: np.random.Generator, file: Path) -> str:
    """The file deleted, emptied, or something else in its place."""
    match rng.integers(5):
        case 0:
            file.write_bytes(b"")
            return "emptied"
        case 1:
            file.unlink()
            file.mkdir()
            return "a folder in its place"
        case 2:
            file.unlink()
            file.symlink_to(file.name)
            return "a link to itself"
        case _:
            file.unlink()
            return "deleted"


def odd_toml(rng: np.random.Generator, good: dict) -> tuple[bytes, str, str]:
    if rng.random() < 0.15:
        key = list(good)[rng.integers(len(good))]
        texts = (
            f"{key} = ",
            f"{key} = 1979-05-27",
            f"[{key}]",
            f"{key} = [1, 2, 3]",
            f"{key}.a = 1",
            f"{key} = {'[' * 2000}",
            f"{key} = 0x{'f' * 400}",
            f"\ufeff{key} = 1",
        )
        line = texts[rng.integers(len(texts))]
        rest = "\n".join(f"{k} = {toml_value(v)}" for k, v in good.items() if k != key)
        return f"{rest}\n{line}\n".encode(), line[:60], key
    settings, what, key = changed(rng, good)
    value = settings.get(key)
    if key in SLOW and isinstance(value, int) and 20 < value < 10**9:
        settings[key], what = 10**12, f"{key} -> {10**12}"  # what is merely slow is no fault
    text = "".join(f"{json.dumps(k)} = {toml_value(v)}\n" for k, v in settings.items())
    return text.encode(), what, key


def odd_json(rng: np.random.Generator, good: dict) -> tuple[bytes, str, str]:
    if rng.random() < 0.15:
        text = json.dumps(good)
        texts = (
            "null",
            "[]",
            "1",
            '"a"',
            "{}",
            "[" * 100_000,
            text[:-2],
            text + text,
            '{"a": ' * 5000,
        )
        k = int(rng.integers(len(texts)))
        return texts[k].encode(), f"JSON {texts[k][:20]}", ""
    document, what, key = changed(rng, good)
    return json.dumps(document).encode(), what, key


def odd_csv(rng: np.random.Generator, text: str) -> tuple[bytes, str]:
    rows = list(csv.reader(io.StringIO(text)))
    i = int(rng.integers(len(rows)))
    match rng.integers(5):
        case 0:
            del rows[i]
            what = f"row {i} deleted"
        case 1:
            rows.insert(i, rows[-1])
            what = f"the last row again at {i}"
        case 2:
            del rows[i][-2:]
            what = f"row {i} torn"
        case _:
            j = int(rng.integers(len(rows[i])))
            rows[i][j] = str(hostile(rng, 1.5))
            what = f"row {i}, {rows[0][j][:20]}: {rows[i][j][:40]!r}"
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogateescape"), what
