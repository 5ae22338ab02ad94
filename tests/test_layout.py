"""The rules of the house, read from the source: who imports whom, sizes, packages, lazy imports."""

import ast
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from lazy_imports import HEAVY, loaded_by

import cunet

ROOT = Path(__file__).resolve().parent.parent
FILES = {"cunet": ROOT / "cunet", "cunet.cli": ROOT / "cli"}
LARGEST = 250

# Lines that a reader of the network meets, and the most there may be. What the paper's net needs:
# the operations without those of later reproductions, the layers, the U, its sizes, the solver.
# The teaching core: all operations, the same and batch normalization, all solvers. The last two
# count the files that were cut out of unet.py as well.
PAPER = (
    "ops/__init__ ops/conv ops/crop_concat ops/dropout ops/max_pool ops/padding ops/relu "
    "ops/softmax_loss ops/up_conv net/layers net/unet net/shape net/sizes solvers/sgd"
)
CORE = (
    PAPER + " ops/batch_norm ops/sigmoid_loss net/normed solvers/__init__ solvers/adam "
    "solvers/gradients solvers/rates"
)
BUDGETS = {
    PAPER: 800,
    CORE: 1100,
    "ops/conv": 50,
    "net/layers": 120,
    "net/unet": 150,
    PAPER + " net/levels net/run": 900,
    CORE + " net/levels net/run": 1200,
}

# Who may import whom, by package; these stand beside the packages and are open to all.
OPEN = set("checks core_checks errors interrupts terminal backend threads compiled philox".split())
MAY_IMPORT = {
    "ops": "",
    "metrics": "",
    "files": "",
    "models": "files",
    "data": "files",
    "measuring": "files",
    "pictures": "files data metrics",
    "engines": "ops",
    "net": "engines ops files models",
    "solvers": "net",
    "segmentation": "net engines data files pictures metrics measuring models",
    "training": "segmentation solvers net metrics data files engines ops models",
    "evaluation": "metrics data files",
    "reporting": "training segmentation metrics net data files pictures",
    "crossvalidation": "reporting training segmentation metrics net data files",
    "bench": "net solvers engines ops exchange",
    "doctor": "net solvers engines ops",
    "process": "training",
    "volumes": "segmentation net engines data files measuring metrics",
    "exchange": "segmentation net engines ops data files models",
    "lessons": "training segmentation solvers net engines ops data files pictures",
    "tracing": "reporting training segmentation solvers net engines data files pictures metrics",
    "claims": "crossvalidation reporting training segmentation metrics net data files pictures",
}
ABOVE = {"cli", "__main__"}  # these may import everything


def modules():
    """Dotted name -> file, of everything in the package."""
    found = {}
    for package, folder in FILES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


MODULES = modules()
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def imports(name):
    """(dotted name, whether at the top of the file) of everything that a module imports."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level]
            start = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                dotted = f"{start}.{alias.name}"
                yield dotted if dotted in MODULES else start, id(node) in top


def own(name):
    """The modules of the package that a module imports."""
    return {target for target, _ in imports(name) if target.partition(".")[0] == "cunet"}


def room(name):
    """The package that a module stands in; of a module beside them its own name."""
    return name.split(".")[1] if "." in name else "cunet"


@pytest.mark.parametrize("name", [n for n in MODULES if n != "cunet" and room(n) not in ABOVE])
def test_who_imports_whom(name):
    here = room(name)
    assert here in OPEN or here in MAY_IMPORT, f"{name} is in no row of MAY_IMPORT"
    allowed = OPEN | {here} | set(MAY_IMPORT.get(here, "").split())
    for target in own(name):
        assert target in MODULES, f"{name} imports {target}, which is not there"
        assert room(target) in allowed, f"{name} must not import {target}"


def test_the_table_names_what_is_there():
    packages = {room(name) for name in PACKAGES} - {"cunet"}
    assert set(MAY_IMPORT) | {"cli"} == packages
    for names in MAY_IMPORT.values():
        assert set(names.split()) <= set(MAY_IMPORT)


def test_the_rules_see_what_they_should():
    assert "cunet.ops.conv" in own("cunet.engines.definition")
    assert "cunet.cli.common" in own("cunet.cli.train")
    assert {"cunet.net.unet", "cunet.data.samples"} <= own("cunet.training.passes")
    assert room("cunet.engines.gpu.cuda") == "engines" and room("cunet.backend") == "backend"


def test_nobody_but_the_command_line_knows_click():
    for name in MODULES:
        if room(name) not in ABOVE:
            assert "click" not in {target for target, _ in imports(name)}, name


def test_no_module_is_imported_in_a_circle():
    """At the top of files; inside a function an import may look up what its caller needs."""
    graph = {name: {target for target, at_top in imports(name) if at_top} for name in MODULES}
    while graph:
        leaves = [name for name, needs in graph.items() if not needs & graph.keys()]
        assert leaves, f"these import each other: {sorted(graph)}"
        for name in leaves:
            del graph[name]


def test_matplotlib_is_imported_by_pictures_alone_and_only_to_draw():
    for name in MODULES:
        found = [at_top for target, at_top in imports(name) if target.startswith("matplotlib")]
        assert not found or room(name) == "pictures", name
        assert not any(found), name


def test_cupy_is_imported_where_devices_are_chosen_and_examined():
    users = {n for n in MODULES if "cupy" in {t.partition(".")[0] for t, _ in imports(n)}}
    assert "cunet.backend" in users
    assert all(name.startswith(("cunet.backend", "cunet.doctor")) for name in users)


DEVICE_FILES = [
    name
    for name in MODULES
    if name.startswith("cunet.ops")
    or name in ("cunet.solvers.sgd", "cunet.solvers.adam", "cunet.net.unet")
]


@pytest.mark.parametrize("name", DEVICE_FILES)
def test_what_runs_on_a_device_calls_no_function_of_numpy(name):
    """Types and random generators are NumPy's; functions are those of the array's library."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "np":
            attribute = getattr(np, node.attr)
            assert isinstance(attribute, type) or node.attr == "random", f"{name}: np.{node.attr}"


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_long(name):
    lines = MODULES[name].read_text(encoding="utf-8").count("\n")
    assert lines <= LARGEST, f"{name} has {lines} lines"


@pytest.mark.parametrize(("files", "most"), BUDGETS.items())
def test_the_core_stays_short(files, most):
    paths = [ROOT / "cunet" / f"{name}.py" for name in files.split()]
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in paths) <= most


def test_every_operation_and_solver_is_counted():
    for folder in ("ops", "solvers"):
        names = {f"{folder}/{path.stem}" for path in (ROOT / "cunet" / folder).glob("*.py")}
        assert names <= set(CORE.split())


def test_the_command_line_stays_short():
    """Parsing and printing alone; what came later has budgets of its own."""
    lines = {
        path.name: path.read_text(encoding="utf-8").count("\n")
        for path in FILES["cunet.cli"].glob("*.py")
    }
    later = {"volume_options.py": 90, "segment_volume.py": 85, "plan.py": 80}
    later |= {"export.py": 90, "import_.py": 60, "verify_export.py": 80, "models.py": 200}
    later |= {"commands.py": 40, "lesson.py": 60, "trace.py": 90, "seams.py": 82, "paper.py": 60}
    later |= {"explain.py": 110, "image_options.py": 30}
    for name, most in later.items():
        assert lines.pop(name, 0) <= most, name
    assert sum(lines.values()) <= 2200


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("cunet.")])
def test_a_file_opens_with_what_it_is(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), name


def test_no_global_random_numbers_and_no_assert_for_users():
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Assert), f"{name} line {node.lineno}"
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random",):
                known = ("default_rng", "Generator", "Philox", "SeedSequence", "PCG64")
                assert node.attr in known, f"{name}: np.random.{node.attr}"


def test_the_list_of_packages_equals_the_folders():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = set()
    for package, folder in FILES.items():
        for init in folder.rglob("__init__.py"):
            folders.add(".".join((package, *init.parent.relative_to(folder).parts)))
    assert sorted(settings["packages"]) == sorted(folders)
    for package, folder in FILES.items():
        for path in folder.rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{path} is in no package"
        assert settings["package-dir"].get(package, package.replace(".", "/")) == folder.name


def test_every_file_that_is_not_python_is_package_data():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings.get("package-data", {})
    for package, folder in FILES.items():
        for path in folder.rglob("*"):
            if not path.is_file() or path.suffix == ".py" or path.parent.name == "__pycache__":
                continue
            inside = ".".join((package, *path.parent.relative_to(folder).parts))
            known = [p for key in (inside, "*") for p in patterns.get(key, [])]
            covered = any(path.match(p) for p in known) or any(
                path in (folder).glob(p) for p in patterns.get(package, [])
            )
            assert covered, f"{path} would be missing from the installed package"


def test_no_test_file_imports_another():
    """What tests share stands in tests/doubles or in a conftest."""
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith(("test_", "conftest")) for name in names), path


# What is imported when


def test_importing_cunet_costs_little():
    assert not loaded_by("import cunet\nassert dir(cunet)") & (HEAVY | {"click"})


def test_a_network_needs_no_image_library():
    code = "import cunet\nnet = cunet.UNet(width=1, depth=1)\ncunet.SGD(net.parameters())"
    loaded = loaded_by(code)
    assert "numpy" in loaded and not loaded & (HEAVY | {"click"})


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"]], ids=" ".join)
def test_help_is_fast_because_it_loads_nothing_heavy(arguments):
    code = f"""
from cunet.cli import main
import sys
sys.argv = ["cunet", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert end.code in (0, 2, None), end.code
"""
    assert not loaded_by(code) & HEAVY


def test_every_public_name_is_there():
    for name in cunet.__all__:
        assert getattr(cunet, name) is not None
        assert name in dir(cunet)
    for name in ("UNet", "SGD", "softmax_loss", "segment", "save", "load", "train"):
        assert name in cunet.__all__
    with pytest.raises(AttributeError, match="cunet.*'UNett'"):
        cunet.UNett  # noqa: B018


def test_the_loop_hides_behind_no_name_of_a_module():
    """cunet.train is the function whatever was imported before."""
    import_module("cunet.training.loop")
    assert callable(cunet.train) and cunet.train.__module__ == "cunet.training.loop"
