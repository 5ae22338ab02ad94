"""Index files: what is taken from them, and what is refused."""

import json

import pytest

from cunet.errors import CunetError, DataError
from cunet.models import fetch, index


def entries(text, base="https://lab.org/nets/index.json"):
    return index.parse(text if isinstance(text, str) else json.dumps(text), "i.json", base)


def test_a_good_index_with_addresses_seen_from_it(entry):
    found = entries({"mito": entry("mito.npz", "/b.npz", "http://c.org/x", card="mito.md")})["mito"]
    assert found.urls == (
        "https://lab.org/nets/mito.npz",
        "https://lab.org/b.npz",
        "http://c.org/x",
    )
    assert found.card == "https://lab.org/nets/mito.md" and found.file == "mito.npz"
    assert (found.record.license, found.record.made_for) == ("CC0", "mitochondria")
    upper = entry(sha256="AB" * 32, unknown="key of a later version")
    del upper["license"], upper["for"], upper["urls"]
    found = entries({"mito": upper})["mito"]
    assert found.record.sha256 == "ab" * 32 and found.record.license == "" == found.card
    assert entries({"m": entry("m.npz")}, "file:///share/index.json")["m"].urls == (
        "file:///share/m.npz",
    )


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", "..", "C:x", "a\\b", "CON", "nul.x", "", "x.npz", "bundled",
             "a" * 65, "a\x1b[31m", "\u202ea"],
)  # fmt: skip
def test_names_that_lead_elsewhere(entry, name):
    with pytest.raises(DataError, match=r"index 'i.json'.*name "):
        entries({name: entry()})


@pytest.mark.parametrize(
    ("key", "value"),
    [("file", one) for one in ("../x.npz", "/etc/x.npz", "a/b.npz", "C:\\x.npz", "C:x.npz", "..",
                               "nul.npz", "x", "x.exe", "", None, 3, ["a.npz"], ".x.npz")]
    + [("bytes", one) for one in (0, -1, 1.5, "9", None, True, 1 << 60)]
    + [("sha256", one) for one in ("", "ab", "g" * 64, 3, None, "a" * 65, "a" * 63 + "\n")]
    + [("urls", one) for one in ("https://x.org/a", None, [3], [""], ["ftp://x.org/a"],
                                 ["data:,x"], ["javascript:1"], ["http://"], ["http://[::1/a"],
                                 ["https://u:p@x.org/a"], ["https://x.org/a b"], ["a\nb"],
                                 ["https://x.org:port/"], ["file:///etc/passwd"],
                                 ["\\\\host\\share"], ["http://x.org/\xe4"])]
    + [("license", one) for one in (3, None, "a" * 501)] + [("for", {}), ("card", 3)]
    + [("card", "file:///etc/passwd"), ("card", "ftp://x.org/a")],
)  # fmt: skip
def test_fields_that_are_not_what_they_should_be(entry, key, value):
    if value == ["\\\\host\\share"]:
        found = entries({"mito": entry(*value)})["mito"].urls  # seen from the index: no share
        assert found == ("https://lab.org/nets/\\\\host\\share",)
        return
    with pytest.raises(DataError, match=f"index 'i.json'.*'mito': {key}") as error:
        entries({"mito": entry(**{key: value})})
    assert error.value.exit_code == 3 and len(str(error.value)) < 1000


def test_a_file_address_is_for_an_index_on_this_computer(entry):
    assert entries({"m": entry("file:///a.npz")}, "file:///i.json")["m"].urls == ("file:///a.npz",)
    for url in ("file://host/share/a.npz", "file:a.npz", "FILE://host/a"):
        with pytest.raises(DataError, match="file"):
            entries({"m": entry(url)}, "https://x.org/i.json")
    with pytest.raises(DataError, match="on this computer"):
        entries({"m": entry("file://host/share/a.npz")}, "file:///i.json")


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "3", '"a"', "[" * 100_000, "{}x", "NaN",
                                  '{"mito": []}', '{"mito": null}', '{"mito": {}}'])  # fmt: skip
def test_what_is_no_index(text, tmp_path):
    with pytest.raises(DataError, match="index 'i.json' is damaged"):
        entries(text)
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(DataError, match="i.json"):
        index.read_index(str(tmp_path / "i.json"))


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "b.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="b.json"):
        index.read_index(str(tmp_path / "b.json"))
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(index.MAX_INDEX + 1)
    with pytest.raises(DataError, match="large.json.*at most"):
        index.read_index(str(tmp_path / "large.json"))
    for path in (tmp_path, tmp_path / "no.json"):
        with pytest.raises(CunetError, match=f"cannot read index '{path}'"):
            index.read_index(str(path))


def test_where_an_index_comes_from(monkeypatch, entry, index_file):
    assert list(index.read_index().entries) == ["em", "nuclei"]
    path = index_file({"mito": entry()})
    monkeypatch.setenv("CUNET_INDEX", path)
    assert list(index.read_index().entries) == ["em", "nuclei", "mito"]
    assert list(index.read_index("").entries) == ["em", "nuclei"]
    assert "mito" in index.read_index(f"file://{path}").entries
    assert not index.is_address("C:\\index.json") and not index.is_address("index.json")


def test_an_index_comes_by_https_or_from_this_computer():
    for url in ("http://lab.org/i.json", "http://127.0.0.1.evil.org/i.json"):
        with pytest.raises(CunetError, match="expected https"):
            index.read_index(url)
    for url in ("ftp://lab.org/i.json", "ssh:x", "https:///i.json", "https://a@b.org/i"):
        with pytest.raises(CunetError, match="expected"):
            index.read_index(url)
    fetch.check("http://localhost:80/i.json", index=True)


def test_only_get_fetches_an_index(server, entry, run):
    url = f"{server.url}/index.json"
    for line in (["list"], ["info", "mito"]):
        code, _, err = run("models", *line, "--index", url)
        assert code == 2 and "cunet models get --index" in err and not server.asked
    server.pages["/index.json"] = json.dumps({"mito": entry("mito.npz")}).encode()
    code, _, err = run("models", "get", "--index", url)
    assert code == 0 and "em, nuclei, mito" in err and server.asked == ["/index.json"]
    code, out, _ = run("models", "list", "--index", url)
    assert code == 0 and "mito" in out and "not here" in out and len(server.asked) == 1
    server.pages["/index.json"] = b"[]"  # what is damaged does not replace the copy
    code, _, err = run("models", "get", "--index", url)
    assert code == 3 and "damaged" in err
    del server.pages["/index.json"]
    code, _, err = run("models", "get", "--index", url)
    assert code == 0 and "404" in err and "its copy is used" in err
    code, _, err = run("models", "get", "--index", f"{server.url}/other.json")
    assert code == 4 and "404" in err and "Without internet" in err
    server.pages["/large"] = b" " * (index.MAX_INDEX + 1)
    code, _, err = run("models", "get", "--index", f"{server.url}/large")
    assert code == 3 and "large" in err
