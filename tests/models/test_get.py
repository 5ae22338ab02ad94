"""`get`: what servers do, and that nothing is kept but the right file."""

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from model_server import answer, dripping, redirect, silent

import cunet
from cunet.errors import CunetError, DataError, DeviceError
from cunet.files.lock import held, lock_of
from cunet.models import fetch, get, index, places, record, store

DEAD = "http://127.0.0.1:9"  # nobody listens at the discard port


@pytest.fixture
def known(entry, index_file):
    """known(urls): the index that has them."""
    return lambda *urls, **more: index.read_index(index_file({"mito": entry(*urls, **more)}))


def left(own):
    """What lies in the user's folder."""
    return sorted(p.name for p in own.iterdir()) if own.exists() else []


def test_a_dead_address_then_a_good_one(own, data, server, known):
    server.pages |= {"/mito.npz": data, "/mito.md": b"# A card"}
    told = []
    found = get.get(
        "mito", known(f"{DEAD}/a.npz", f"{server.url}/no.npz", f"{server.url}/mito.npz",
                      card=f"{server.url}/mito.md"),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert found.path.read_bytes() == data and found.url.endswith("/mito.npz")
    assert left(own) == ["mito.json", "mito.md", "mito.npz"] and told[-1] == (len(data),) * 2
    kept = json.loads((own / "mito.json").read_text())
    assert kept == {
        "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "license": "CC0",
        "source": found.url, "for": "mitochondria",
    }  # fmt: skip
    assert (own / "mito.md").read_text() == "# A card" and cunet.load("mito").shape.width == 2


def test_what_is_here_and_right_is_not_fetched_again(own, data, server, known):
    server.pages["/mito.npz"] = data
    there = known(f"{server.url}/mito.npz")
    get.get("mito", there)
    assert get.get("mito", there).url == "" and server.asked == ["/mito.npz"]
    (own / "mito.json").unlink()  # put there by hand: it gets its record
    assert get.get("mito", there).url == "" and left(own) == ["mito.json", "mito.npz"]
    (own / "mito.json").write_text("damaged")
    assert get.get("mito", there).url == ""
    assert record.read_record(own / "mito.npz").license == "CC0" and len(server.asked) == 1


@pytest.mark.parametrize(
    ("page", "said", "kind"),
    [
        (lambda d, s: bytes(len(d)), "its SHA-256 is .*the index says", DataError),
        (lambda d, s: d[:-7], r"ended after [\d,]+ of [\d,]+ bytes", DataError),
        (lambda d, s: lambda h: answer(h, d[:-7], len(d)), "ended|IncompleteRead", DataError),
        (lambda d, s: d + b"x", "more than the", DataError),
        (lambda d, s: lambda h: answer(h, d + b"x" * 10**6, False), "more than the", DataError),
        (lambda d, s: b"", "ended after 0", DataError),
        (lambda d, s: silent(s), "nothing came for 0.3 s", DeviceError),
        (lambda d, s: redirect("file:///etc/passwd"), "passwd.* not allowed", DeviceError),
        (lambda d, s: redirect("ftp://127.0.0.1/a"), "redirects from http to 'ftp", DataError),
        (lambda d, s: redirect("http://127.0.0.1:9/a"), "refused", DeviceError),
        (lambda d, s: redirect(f"{s.url}/mito.npz"), "redirect|infinite", DeviceError),
        (lambda d, s: lambda h: h.wfile.write(b"\xff\xfe odd\r\n\r\n"), "fetched", DeviceError),
        (lambda d, s: None, "404", DeviceError),
    ],
)  # fmt: skip
def test_what_is_not_the_file_is_not_kept(own, data, server, known, page, said, kind, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.3)
    server.pages["/mito.npz"] = page(data, server)
    url = f"{server.url}/mito.npz"
    with pytest.raises(CunetError, match=said) as error:
        get.get("mito", known(url))
    text = str(error.value)
    assert type(error.value) is kind and url in text, text
    assert "By hand: download" in text and str(own / "mito.npz") in text
    assert left(own) == []


def test_a_redirect_is_followed(own, data, server, known):
    server.pages |= {"/old": redirect(f"{server.url}/new"), "/new": data}
    assert get.get("mito", known(f"{server.url}/old")).path.read_bytes() == data


def test_no_redirect_from_https_to_http():
    from urllib.request import Request

    handler = fetch._Redirects()
    with pytest.raises(fetch.Failed, match="redirects from https to 'http://x.org/a'"):
        handler.redirect_request(
            Request("https://x.org/a"), io.BytesIO(), 302, "", {}, "http://x.org/a"
        )  # fmt: skip


def test_without_internet_it_says_where_to_put_the_file(own, data, known):
    there = known(f"{DEAD}/mito.npz")
    with pytest.raises(DeviceError, match="could not be fetched") as error:
        get.get("mito", there)
    assert f"download {DEAD}/mito.npz" in str(error.value)
    (own / "mito.npz").write_bytes(data)  # what it says
    assert get.get("mito", there).path == own / "mito.npz"
    with pytest.raises(CunetError, match=f"no address.*put the file 'mito.npz'.* at '{own}"):
        (own / "mito.npz").unlink()
        get.get("mito", known())


def test_a_file_address_of_an_index_on_this_computer(own, data, known, tmp_path):
    (tmp_path / "a b.npz").write_bytes(data)
    found = get.get("mito", known("a%20b.npz"))
    assert found.url.startswith("file://") and found.path.read_bytes() == data
    os.mkfifo(tmp_path / "pipe.npz")
    (own / "mito.npz").unlink()
    with pytest.raises(DeviceError, match="no file"):
        get.get("mito", known("pipe.npz"))


def test_another_file_of_that_name(own, data, server, known, net, monkeypatch, tmp_path):
    server.pages["/mito.npz"] = data
    there = known(f"{server.url}/mito.npz")
    old = net(own / "mito.npz", seed=9).read_bytes()
    with pytest.raises(DataError, match="not the file that the index names.*cunet models get mito"):
        monkeypatch.setenv("CUNET_INDEX", there.where)
        cunet.load("mito")
    with pytest.raises(CunetError, match="another file than the index names.*--overwrite"):
        get.get("mito", there)
    assert (own / "mito.npz").read_bytes() == old and not server.asked
    wrong = known(f"{DEAD}/a.npz")
    with pytest.raises(DeviceError):
        get.get("mito", wrong, overwrite=True)
    assert (own / "mito.npz").read_bytes() == old
    assert get.get("mito", there, overwrite=True).path.read_bytes() == data
    monkeypatch.setenv("CUNET_MODELS", str(tmp_path / "share"))  # found first, and another file
    net(tmp_path / "share" / "mito.npz", seed=9)
    with pytest.raises(
        CunetError, match="is there already .CUNET_MODELS.*another file.*nothing was"
    ):
        get.get("mito", there, overwrite=True)


def test_names_that_no_index_has(own, net):
    with pytest.raises(CunetError, match="no model 'nuclej'.*'nuclei'"):
        get.get("nuclej", index.read_index())
    net(own / "mine.npz")
    found = get.get("mine", index.read_index())
    assert found.url == "" and "nothing was fetched" in found.notes[0]
    assert get.get("isbi2012", index.read_index()).path == places.BOX["em"]
    assert get.get("bundled", index.read_index()).path == places.BOX["em"]


def test_a_card_that_cannot_be_had_is_a_warning(own, data, server, known):
    server.pages |= {"/mito.npz": data, "/bad.md": b"\xff\xff"}
    for page in ("no.md", "bad.md"):
        there = known(f"{server.url}/mito.npz", card=f"{server.url}/{page}")
        found = get.get("mito", there)
        assert "warning: no card" in found.notes[0] and left(own) == ["mito.json", "mito.npz"]
        (own / "mito.npz").unlink()


def test_two_at_once_fetch_once(own, data, server, known):
    gate = threading.Event()

    def page(handler):
        gate.wait(10)
        answer(handler, data)

    server.pages["/mito.npz"] = page
    there, found, waited = known(f"{server.url}/mito.npz"), [], threading.Event()

    def one():
        found.append(get.get("mito", there, waiting=waited.set))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waited.wait(10)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert sorted(bool(one.url) for one in found) == [False, True]
    assert server.asked == ["/mito.npz"] and left(own) == ["mito.json", "mito.npz"]


def test_who_waits_too_long_is_told(own, known, monkeypatch):
    monkeypatch.setattr(store, "WAIT", 0.3)
    own.mkdir(parents=True)
    with held(lock_of(own / "mito.npz"), own / "mito.npz"):
        with pytest.raises(CunetError, match="mito.npz"):
            get.get("mito", known(f"{DEAD}/a.npz"))


def test_a_full_disk(own, data, server, known, monkeypatch):
    server.pages["/mito.npz"] = data
    there = known(f"{server.url}/mito.npz")
    monkeypatch.setattr(store, "free_bytes", lambda path: 100)
    with pytest.raises(DeviceError, match="no room for .*mito.npz.*CUNET_CACHE"):
        get.get("mito", there)
    assert left(own) == [] and server.asked == []
    monkeypatch.undo()
    monkeypatch.setenv("CUNET_CACHE", str(own.parent))

    def full(part, block):
        part.discard()
        from cunet.files.disk import write_error

        raise write_error(OSError(errno.ENOSPC, "No space left on device"), part.path, part.needed)

    monkeypatch.setattr(store.Part, "add", full)
    with pytest.raises(DeviceError, match="no room for .*mito.npz.*CUNET_CACHE"):
        get.get("mito", there)
    assert left(own) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_may_not_be_written_to(own, data, server, known):
    server.pages["/mito.npz"] = data
    own.mkdir(parents=True, mode=0o555)
    with pytest.raises(DeviceError, match="cannot write.*CUNET_CACHE"):
        get.get("mito", known(f"{server.url}/mito.npz"))


def test_a_folder_that_cannot_be_made(own, known):
    own.parent.mkdir(exist_ok=True)
    own.write_text("a file in its place")
    with pytest.raises(DeviceError, match="cannot write.*CUNET_CACHE"):
        get.get("mito", known(f"{DEAD}/mito.npz"))


def test_ctrl_c_leaves_nothing(own, data, server, index_file, entry):
    server.pages["/mito.npz"] = dripping(server, data)
    path = index_file({"mito": entry(f"{server.url}/mito.npz")})
    command = [sys.executable, "-P", "-m", "cunet", "models", "get", "mito", "--index", path]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 20
    while not list(own.glob(".mito*.part")) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted" in err and left(own) == []


def test_a_crash_between_file_and_record_is_no_false_alarm(own, data, server, known, monkeypatch):
    """Wherever it stops, the file that is there is taken or told, and `get` makes it whole."""
    server.pages["/mito.npz"] = data
    there = known(f"{server.url}/mito.npz")

    def stop(*arguments):
        raise SystemExit

    monkeypatch.setattr(store, "write_text", stop)
    with pytest.raises(SystemExit):
        get.get("mito", there)
    monkeypatch.undo()
    monkeypatch.setenv("CUNET_CACHE", str(own.parent))
    assert left(own) == ["mito.npz"] and cunet.load("mito").shape.width == 2
    assert get.get("mito", there).url == "" and left(own) == ["mito.json", "mito.npz"]


def test_the_command(own, data, server, entry, index_file, run):
    server.pages["/mito.npz"] = data
    path = index_file({"mito": entry(f"{server.url}/mito.npz")})
    code, out, err = run("models", "get", "mito", "--index", path, "--json")
    assert code == 0 and json.loads(out)["models"] == [
        {"name": "mito", "path": str(own / "mito.npz"), "url": f"{server.url}/mito.npz"}
    ]
    assert err.splitlines()[-1] == "  cunet segment IMAGE --model mito" and " kB " in err
    code, out, err = run("models", "get", "mito", "--index", path)
    assert code == 0 and "was here already" in err and server.asked == ["/mito.npz"]
    code, out, err = run("models", "get", "mito", "--index", path, "-q")
    assert (code, out, err) == (0, "", "")
