"""The pages of the book that are made of the package: lessons, pictures, commands, public names."""

import ast
import inspect
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import tifffile
from latex2mathml.converter import convert

import cunet
from cunet.cli import cli
from cunet.data.synthetic import membranes
from cunet.lessons import LESSONS
from cunet.lessons.markdown import markdown, prose
from cunet.lessons.parts import Heading

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "paper": "what the paper says, and what cunet takes where it is silent",
    "cpu": "the default without a GPU",
    "finetune": "goes with `--from`",
    "ucsd": "a later student reproduction: same padding, batch normalization, a sigmoid",
}
# What shows the network, and the command that makes it of a synthetic section
DRAWN = {
    "fig1.svg": ["explain", "--svg", "fig1.svg"],
    "trace.html": ["trace", "em", "section.tif", "--tile", "412", "--device", "cpu"],
    "seams.png": ["seams", "section.tif", "--model", "em", "--device", "cpu"],
}


def pages(folder: Path) -> dict[str, str]:
    """Page -> its Markdown. Pictures that they show are written below `folder`."""
    draw(folder / "mathematics")
    made = {lesson_page(name): lesson(name) for name in LESSONS}
    made["reference/commands.md"] = "\n\n".join(commands(cli, "cunet")) + "\n"
    made["reference/settings.md"] = "\n\n".join(settings()) + "\n"
    made["reference/python.md"] = "\n\n".join(names()) + "\n"
    return made


def draw(folder: Path) -> None:
    """Run the commands of DRAWN, and put what they make into `folder`."""
    folder.mkdir()
    images, _ = membranes(slices=1, height=600, width=600, seed=0)
    with tempfile.TemporaryDirectory() as place:
        tifffile.imwrite(Path(place) / "section.tif", images[0], photometric="minisblack")
        for name, words in DRAWN.items():
            line = [sys.executable, "-m", "cunet", *words, "--quiet"]
            subprocess.run(line, cwd=place, check=True)
            shutil.copyfile(Path(place) / name, folder / name)


def lesson_page(name: str) -> str:
    """Where a lesson stands in the book."""
    return f"mathematics/{name}.md"


def lesson(name: str) -> str:
    """A lesson as a page: what to read beside it, the lesson, the answer folded up."""
    found = cunet.lesson(name)
    head, _, rest = found._repr_markdown_().partition("\n\n")
    files = ", ".join(f"[{file}](../../../{file})" for file in found.read)
    parts = cunet.lesson(name, answer=True).parts()
    answer = markdown(parts[parts.index(Heading("Answer")) + 1 :])
    text = (
        f"{head}\n\nRead beside it: {files}. In a terminal: `cunet lesson {name}`.\n\n{rest}\n"
        f'<details markdown="1"><summary>Answer</summary>\n\n{answer}\n</details>\n'
    )
    return re.sub(r"^\$\$\n(.*?)\n\$\$$", lambda m: mathml(m[1]), text, flags=re.M | re.S)


def mathml(latex: str) -> str:
    """A formula as MathML, which browsers show by themselves."""
    latex = latex.replace("{aligned}", "{split}").replace(r"\mathrel{+}=", r"\mathrel{+=}")
    found = convert(latex, display="block")
    # latex2mathml makes of \mathrel{+=} an operator that holds operators, which is no MathML
    found = re.sub(
        r"(<mo[^>]*>)<mrow>((?:<mo>[^<]*</mo>)+)</mrow></mo>",
        lambda m: f"<mo>{re.sub('</?mo>', '', m[2])}</mo>",
        found,
    )
    if re.search(r"<mi>(&|\\[^<]*)</mi>", found):
        raise SystemExit(f"latex2mathml does not know all of this formula:\n{latex}")
    return found


def commands(command: click.Command, path: str, level: int = 1) -> Iterator[str]:
    """The help of a command, and of those below it, as a terminal shows it."""
    context = click.Context(command, info_name=path, terminal_width=80)
    yield f"{'#' * level} {'Commands' if level == 1 else path}"
    if level == 1:
        yield "What `--help` prints, of every command."
    yield f"```text\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            yield from commands(below, f"{path} {name}", level + 1)


def settings() -> Iterator[str]:
    """The files for `cunet train --config`, every key explained."""
    yield "# Settings"
    yield "Files for `cunet train --config FILE`, each the preset of its name, every key explained."
    for name, what in SETTINGS.items():
        text = (ROOT / "examples" / f"{name}.toml").read_text(encoding="utf-8")
        yield f"## {name}"
        yield f"`--preset {name}`: {what}."
        yield f"```toml\n{text.rstrip()}\n```"


def names() -> Iterator[str]:
    """The public names with their docstrings."""
    yield "# Python"
    yield "The public names of `cunet`: `import cunet`, then `cunet.UNet` and so on."
    for name in cunet.__all__:
        thing = getattr(cunet, name)
        if name.startswith("_"):
            continue
        yield f"## cunet.{name}"
        if not (isinstance(thing, type) and issubclass(thing, Exception)):
            yield signature(name, thing)
        yield from docstring(thing)
        if isinstance(thing, type):
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                if (method[0] != "_" or method == "__call__") and function.__doc__:
                    yield f"### {name}.{method}".replace("_", r"\_")
                    yield signature(f"{name}.{method}", function)
                    yield from docstring(function)


def signature(name: str, function: Any) -> str:
    """The call as Python writes it, an argument a line where it is long."""
    found = inspect.signature(function)
    given = [argument for argument in found.parameters.values() if argument.name != "self"]
    text = f"{name}{found.replace(parameters=given)}"
    if len(text) > 90:
        lines = "".join(f"    {argument},\n" for argument in given)
        text = f"{name}(\n{lines}){found.replace(parameters=[])}".replace(")()", ")")
    text = re.sub(r"\b(?:\w+\.)+(?=[A-Z])", "", text)  # typing.Any, cunet.net.unet.UNet
    return f"```python\n{re.sub('<function .*?>', '...', text)}\n```"


def docstring(thing: Any) -> Iterator[str]:
    """Paragraphs as they are, code and columns between fences."""
    for paragraph in re.split(r"\n\s*\n", inspect.getdoc(thing) or ""):
        code = textwrap.dedent(paragraph)
        if re.search(r"\S {2,}\S", code) or paragraph.startswith("    ") or "cunet." in code:
            try:
                ast.parse(code)
                yield f"```python\n{code}\n```"
                continue
            except SyntaxError:
                pass
        if re.search(r"^ |\S {2,}\S", paragraph, re.M):
            yield f"```text\n{code}\n```"
        else:
            yield prose(paragraph)
