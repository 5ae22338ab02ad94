"""Every command line of the README and the book is run, in the order of its page, on tiny data.

What cannot be run here stands in one of two tables with the reason. A line that is neither run nor
listed fails.
"""

import re
import shutil
import subprocess
import sys

import click
import pytest
from documents import PAGES, ROOT, commands, inline, name
from documents_data import everything

import cunet
from cunet import cli

# Added to a command, so that it is done in a second; of an option given twice the last one counts
TINY = "--steps 2 --device cpu --threads 1".split()
SMALLEST = {
    "train": [*TINY, "--width", "2", "--depth", "1", "--tile", "28"],
    "train --from": [*TINY, "--tile", "188"],
    "train --preset": [*TINY, "--width", "2", "--depth", "1"],
    "train --resume": TINY[2:],
    "crossval": [*TINY, "--width", "2", "--depth", "1", "--tile", "28", "--jobs", "1"],
    "segment": TINY[2:],
    "plan": TINY[2:],
    "demo": ["--steps", "2", "--threads", "1"],
    "gradcheck": ["--depth", "1"],
}
ALONE = {"demo", "doctor", "gradcheck"}  # need nothing of their page: run where they come first
# Beginnings, or parts, of lines of cunet that are compared with the command's options instead
COMPARED = {
    "--device cuda": "needs a GPU",
    "--cluster local": "starts four processes of Dask, as tests/volumes/ does",
    "--cluster tcp": "needs Dask's scheduler on another machine",
    "models get": "needs a web server, which tests/models/ has",
}
# Other programs, and why they are not run
NOT_RUN = {
    "pip": "installs",
    "python -m pip": "installs",
    "python -m venv": "makes an environment, as .ci/run does",
    "python -m build": "builds archives, as the job `wheel` does",
    "python -m http.server": "serves until it is ended",
    "python docs/build.py": "tests/docs/test_book.py does it",
    "ruff": "a step of .ci/run",
    "mypy": "a step of .ci/run",
    "pytest": "these tests",
    "source": "changes the shell",
    "export": "changes the shell, and names a share that is not here",
    "sbatch": "needs Slurm",
    "cd": "the tests of napari's plugin need napari",
    "npe2": "needs napari",
    "napari": "needs napari",
}
# Scripts that are run with small data by tests/examples/; here their options are compared
SCRIPTS = ("python examples/",)


def listed(words, table):
    """Whether the table has the beginning of this line, word by word."""
    return any(words[: len(key.split())] == key.split() for key in table)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder that every page begins in, with the runs that pages take for granted."""
    folder = everything(tmp_path_factory.mktemp("documents"))
    train = [sys.executable, "-m", "cunet", "train", "--data", "isbi2012/", *SMALLEST["train"]]
    for run in ("first-1", "mito-1"):
        subprocess.run([*train, "--out", f"runs/{run}", "-q"], cwd=folder, check=True)
    shutil.copyfile(folder / "runs" / "mito-1" / "last.npz", folder / "em.npz")
    return folder


@pytest.fixture(scope="module")
def tried():
    """The lines of ALONE that were run."""
    return set()


@pytest.fixture
def here(prepared, tmp_path, monkeypatch):
    """A copy of that folder, with networks by name of its own."""
    folder = tmp_path / "page"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CUNET_CACHE", str(tmp_path / "cache"))
    for variable in ("CUNET_MODELS", "CUNET_INDEX"):
        monkeypatch.delenv(variable, raising=False)
    return folder


def smallest(words):
    """What is added to a command of cunet."""
    warmup = ["--warmup", "1"] * ("--warmup" in words)  # not longer than the two steps
    for option in ("--from", "--preset", "--resume"):
        if option in words and f"{words[0]} {option}" in SMALLEST:
            return SMALLEST[f"{words[0]} {option}"] + warmup
    return SMALLEST.get(words[0], []) + warmup


def compared(words):
    """Parses the words as the command would, which is not run."""
    command, path = cli.cli, "cunet"
    while isinstance(command, click.Group):
        path, words = words[0], words[1:]
        command = command.get_command(click.Context(command), path)
        assert command is not None, path
    command.make_context(path, list(words))


def compared_with_help(words):
    """The options of a script are among those of its --help."""
    script, *rest = words[1:]
    below = [word for word in rest[:1] if re.fullmatch("[a-z]+", word)]
    done = subprocess.run(
        [sys.executable, ROOT / script, *below, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    known = set(re.findall(r"--[a-z][a-z-]*", done.stdout))
    assert {word for word in rest if word.startswith("--")} <= known, words


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_the_commands_of_a_page(page, here, run, tried, threads_as_before):
    for words in commands(page):
        line = " ".join(words)
        if words[0] == "cunet" and (line in tried or any(key in line for key in COMPARED)):
            compared(words[1:])
        elif words[0] == "cunet":
            code, _, err = run(*words[1:], *smallest(words[1:]))
            assert code == 0, f"{line}\n{err}"
            tried |= {line} if words[1] in ALONE else set()
        elif line.startswith(SCRIPTS):
            compared_with_help(words)
        else:
            assert listed(words, NOT_RUN), f"neither run nor listed: {line}"


def test_the_tables_name_nothing_that_no_page_has():
    lines = [words for page in PAGES for words in commands(page)]
    for key in COMPARED:
        assert any(words[0] == "cunet" and key in " ".join(words) for words in lines), key
    for key in NOT_RUN:
        assert any(listed(words, [key]) for words in lines), key


@pytest.mark.parametrize("page", [page for page in PAGES if inline(page)], ids=name)
def test_commands_in_the_text_are_there_with_their_options(page):
    for line in inline(page):
        command, words = cli.cli, line.split()[1:]
        while isinstance(command, click.Group) and words and words[0][0] not in "-.":
            command = command.get_command(click.Context(command), words.pop(0))
            assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts}
        known |= {option for parameter in command.params for option in parameter.secondary_opts}
        known |= {"--help", "-h", "--version"}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, line


def test_the_python_of_the_book_runs_and_its_table_has_all_public_names(tmp_path, monkeypatch):
    """The block of the page, with a small network in the place of the paper's."""
    page = (ROOT / "docs" / "pages" / "how-to" / "python.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    assert "width=64" in block
    monkeypatch.chdir(tmp_path)
    here: dict = {}
    exec(block.replace("width=64", "width=2"), here)
    assert here["probability"].shape == (300, 500, 2) and (tmp_path / "net.npz").exists()
    table = set(re.findall(r"`(\w+)`", page.partition("| public names")[2]))
    assert {name for name in cunet.__all__ if name[0] != "_"} <= table


def test_what_a_newcomer_is_told_is_what_the_continuous_integration_does():
    """The lines of "The tests" in the README, and those of .ci/run, in one order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("### The tests")[2]
    block = re.search(r"```\n(.*?)```", readme, re.S)[1]
    told = re.split(r"&&|\n", block.strip())
    told = [" ".join(line.split()).replace(".venv/bin/", "") for line in told]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    does = re.findall(r'^(?:"\$environment/bin/(\w+)" (.*)|(python3 -m venv).*|"\$env.*/(mypy)")$',
                      script, re.M)  # fmt: skip
    does = [" ".join(filter(None, found)).replace("--quiet ", "") for found in does]
    does = [line.replace(' "$environment/site"', "") for line in does]
    assert [line.replace(" .venv", "") for line in told] == does
