"""A folder of one's own, none of others, a small network, and a server on this computer."""

import hashlib
import json

import pytest
from model_server import serving

import cunet
from cunet.net.normalization import Normalization


@pytest.fixture(autouse=True)
def own(monkeypatch, tmp_path):
    """The user's folder; the working folder is an empty one."""
    for name in ("CUNET_MODELS", "CUNET_INDEX", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "cache" / "models"


def make_net(path, seed=3, **more):
    net = cunet.UNet(**{"width": 2, "depth": 1, "seed": seed} | more)
    net.normalization = Normalization((3.0,), (7.0,), (0.5,), (9.0,))
    path.parent.mkdir(parents=True, exist_ok=True)
    cunet.save(path, net, progress={"step": 40, "seconds": 2.0})
    return path


@pytest.fixture
def net():
    """net(path, seed=3): a model file of a small network."""
    return make_net


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The bytes of a small model file."""
    return make_net(tmp_path_factory.mktemp("net") / "a.npz").read_bytes()


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def entry(data):
    """entry(urls): that of an index for the small model file; more keys replace others."""

    def make(*urls, **more):
        one = {"file": "mito.npz", "bytes": len(data), "urls": list(urls)}
        one |= {"sha256": hashlib.sha256(data).hexdigest(), "license": "CC0", "for": "mitochondria"}
        return one | more

    return make


@pytest.fixture
def index_file(tmp_path):
    """index_file({name: entry}): the path of an index."""

    def write(entries, path=None):
        path = path or tmp_path / "index.json"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(json.dumps(entries))
        return str(path)

    return write


def put_wheel(site, package="lab_nets", points=("mito = lab_nets",), version="1.2"):
    """An installed wheel: its folder and what it announces."""
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise RuntimeError('it was run')\n")
    info = site / f"{package}-{version}.dist-info"
    info.mkdir()
    name = package.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[cunet.models]\n" + "\n".join(points) + "\n")
    return site / package


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """wheel(package, points): the folder of an installed package that announces networks."""

    def install(*arguments, **more):
        site = tmp_path / f"site{len(list(tmp_path.glob('site*')))}"
        folder = put_wheel(site, *arguments, **more)
        monkeypatch.syspath_prepend(str(site))
        return folder

    return install
