"""Every lesson runs and says what is true; the settings files are the presets, fully explained."""

import functools
import math
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import fields

import numpy as np
import pytest
from example_scripts import EXAMPLES
from PIL import Image
from scipy import signal, special

from cunet.errors import CunetError
from cunet.training.config import PRESETS, Config, make
from cunet.training.from_model import SHAPE, USUAL

LESSONS = sorted(EXAMPLES.glob("[0-9]*.py"))


@functools.cache
def output(number: int, *arguments: str) -> str:
    """What a lesson prints, with runs of spaces made one."""
    (lesson,) = EXAMPLES.glob(f"{number:02d}_*.py")
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", str(lesson), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return re.sub(" +", " ", done.stdout)


def number_after(text: str, where: str) -> float:
    """The number that follows the only occurrence of `where`."""
    _, rest = text.split(where)
    return float(re.match(r"\s*([-+]?\d[\d.]*(?:e[-+]?\d+)?)", rest)[1].rstrip("."))


def test_numbered_without_gaps_and_listed_in_the_index():
    assert [int(lesson.name[:2]) for lesson in LESSONS] == list(range(1, len(LESSONS) + 1))
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\S+\.py)\]", index, re.M) == [lesson.name for lesson in LESSONS]
    for link in re.findall(r"\]\(([^)]+)\)", index):
        assert (EXAMPLES / link).exists(), link


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_opens_with_what_is_learned_and_what_to_read(lesson):
    text = lesson.read_text(encoding="utf-8")
    assert re.match(rf'"""Lesson {int(lesson.name[:2])}: ', text)
    files = re.findall(r"cunet/[\w/]+\.py", text[: text.index('"""', 3)])
    assert files and all((EXAMPLES.parent / file).exists() for file in files)


def test_01_one_layer():
    printed = output(1)
    x = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 1, 0, 0], [1, 0, 1, 2]])
    w = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    dy = np.array([[1, 2], [0, -1]])
    y = signal.correlate2d(x, w, "valid") + 0.5
    assert number_after(printed, "+ 0*-1 =") == y[0, 0]
    for gradient in (signal.correlate2d(x, dy, "valid"), signal.convolve2d(dy, w)):
        for row in gradient:  # three times the same: cunet, by hand, measured
            assert " ".join(map(str, [*row] * 3)) in printed
    assert number_after(printed, "measured gradients:") < 1e-9


def test_02_relu_and_max_pool():
    printed = output(2)
    assert " dx 0 0 0 4 5\n" in printed
    # x, y, dy and dx of the first row: of the four 5 only the first gets the 20
    assert "1 3 5 5 3 5 10 20 0 10 20 0\n" in printed
    assert "sum of dy 100, sum of dx 100" in printed


def test_03_up_convolution():
    printed = output(3)
    rng = np.random.default_rng(0)
    dy = rng.integers(-3, 4, (4, 4))
    blocks = dy.reshape(2, 2, 2, 2).swapaxes(1, 2)
    dx = (blocks * [[1, 10], [0, -1]]).sum((2, 3))
    for row, line in zip(dy, dx, strict=False):
        assert " ".join(map(str, [*row, *line, *line])) in printed
    assert "Kronecker product: True" in printed
    assert number_after(printed, "<up(x), dy> =") == number_after(printed, "<x, dx> =")


def test_04_crop_and_concatenate():
    printed = output(4)
    assert "memory: True" in printed and "`up` itself: True" in printed
    assert number_after(printed, "real concatenation:") < 1e-12
    assert number_after(printed, "paper's U:") == round(392 * 392 * 128 * 4 / 1e6, 1)
    assert f"{10 * 10} of the skip's {18 * 18} pixels" in printed


def test_05_dropout():
    printed = output(5)
    known = "6627e8d5 e169c58d bc57ac4c 9b00dbd8"  # the known-answer test of Random123
    assert f"under key 0: {known}" in printed
    # element 10, in the third row of y beside x, is what the word drawn alone says
    third = re.search(r"^ 9 10 11 12 (.*)$", printed, re.M)[1].split()
    assert number_after(printed, "the mask above says") == float(third[2])
    assert ("so it is kept;" in printed) == (float(third[2]) != 0)


def test_06_softmax_loss():
    printed = output(6)
    log_p = special.log_softmax([[0, 3], [0, 0], [4, 0]], axis=1)[:, 1]
    loss = -(log_p * [1, 1, 2]).sum() / 4
    assert (
        f"sum of weights = {loss:.6f}" in printed and f"doubled weights give {loss:.6f}" in printed
    )
    assert re.search(r"^ -1000 inf 1e\+03$", printed, re.M) and re.search(
        r"^ 100 nan 0$", printed, re.M
    )


def test_07_backprop_as_closures():
    printed = output(7)
    measured = number_after(printed, "measured +")
    assert number_after(printed, "backward +") == pytest.approx(measured, rel=1e-5)
    values = 104 * 104 * 8 + 52 * 52 * 8 + 50 * 50 * 2  # first layer, pooling, second layer
    assert number_after(printed, "After forward") == pytest.approx(8 * values / 1e6, abs=0.03)
    for when in ("After `del backward`", "With remember=False"):
        assert number_after(printed, when) == pytest.approx(8 * 50 * 50 * 2 / 1e6, abs=0.03)


def test_08_the_u():
    printed = output(8)
    count, before = 0, 1
    for here in (64, 128, 256, 512, 1024):  # down, and up again: twice the channels come in
        count += 9 * before * here + here + 9 * here * here + here
        if here < 1024:
            count += 4 * 2 * here * here + here
            count += 9 * 2 * here * here + here + 9 * here * here + here
        before = here
    count += 64 * 2 + 2
    assert f"together {count:,}" in printed and "of 23 convolutional layers" in printed
    crops = {88: (572, 392), 40: (284, 200), 16: (140, 104), 4: (68, 56)}
    for crop, (down, up) in crops.items():
        row = rf"{down}- ?{down - 2}- ?{down - 4}-+ crop {crop} -+> ?{up}- ?{up - 2}- ?{up - 4}\n"
        assert re.search(row, printed), row


def test_09_gradient_check():
    printed, mistaken = output(9).split("Now with a mistake")
    layers = 2 * 3 + 3 * 2 + 1  # at depth 2: pairs down, up-convolution and pair up, head
    assert f"{2 * layers + 1} arrays, worst" in printed and printed.rstrip().endswith("passed")
    assert number_after(printed, "worst") < 1e-6
    # only what lies before a skip is wrong: not the bottom, not the way up
    failing = re.findall(r"^ (\S+) \d\.\de", mistaken, re.M)
    before = [f"contract{i}.conv{j}" for i in (0, 1) for j in (1, 2)]
    arrays = [f"{c}.{array}" for c in before for array in ("filters", "biases")]
    assert failing == [*arrays, "input"]


def test_10_momentum():
    printed = output(10)
    rows = re.findall(r"^ (\d+) (0\.\d+) (0\.\d+)", printed, re.M)
    assert len(rows) > 6
    for update, caffe, torch in rows:
        n = int(update)
        grown = 0.1 * (1 - 0.99 ** min(n, 600))  # rate 1e-3 summed up
        after = 0.01 + (grown - 0.01) * 0.99 ** max(0, n - 600) if n > 600 else grown
        assert float(caffe) == pytest.approx(after, abs=6e-6)
        rate = 1e-3 if n <= 600 else 1e-4
        assert float(torch) == pytest.approx(rate * (1 - 0.99**n) / 0.01, abs=6e-6)
    assert f"half in {math.log(0.5) / math.log(0.99):.0f} updates" in printed


def test_11_weight_map(tmp_path):
    path = tmp_path / "map.png"
    printed = output(11, str(path))
    background, cell = number_after(printed, "background "), number_after(printed, ", cell ")
    # with N / (2 N_k) the two classes have N_k = N / (2 w_k) pixels, N together
    assert 1 / (2 * background) + 1 / (2 * cell) == pytest.approx(1, abs=2e-3)
    heaviest = background + 10 * math.exp(-1 / 50)
    assert number_after(printed, "\n 24 0.00 1.00") == pytest.approx(heaviest, abs=2e-3)
    rows = re.findall(r"^ \d\d (\d+\.\d+) (\d+\.\d+) (\d+\.\d+) (\d+\.\d+) #", printed, re.M)
    weights = [float(row[2]) for row in rows]
    assert len(rows) > 5 and weights == sorted(weights, reverse=True)
    assert all(row[2] == row[3] for row in rows)
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (48 * 6, 72 * 6)
    # the heaviest pixels are those of the gap; far away the class weight stands alone
    assert pixels.max() == pixels[24 * 6, 35 * 6] == 255
    assert pixels[0, 0] == pytest.approx(255 * background / heaviest, abs=1)


def test_12_elastic():
    printed = output(12)
    assert number_after(printed, "largest difference") < 1e-5
    table = re.search(r"rms\n((?: ?[\d. ]+\n){9})", printed)[1]
    rms = np.array([line.split() for line in table.splitlines()], float)
    assert rms.shape == (9, 9)
    np.testing.assert_allclose(rms[::4, ::4], 10, rtol=0.05)
    assert (rms[2::4, 2::4] < 8).all() and rms.mean() < 9


def test_13_overlap_tile():
    printed = output(13)
    assert f"[0, 388], on the pooling grid at [0, {388 % 16}]" in printed
    cell = r"(\d\.\de[-+]\d\d)"
    table = re.compile(rf"^ stride (\d+) {cell} {cell}\n {cell} {cell}$", re.M)
    differences = {int(row[0]): [float(v) for v in row[1:]] for row in table.findall(printed)}
    assert max(differences[384]) < 1e-5
    assert differences[388][0] < 1e-5 and min(differences[388][1:]) > 1e-2


def test_14_learn_one_image():
    printed = output(14)
    losses = [float(v) for v in re.findall(r"loss (\d\.\d+)", printed)]
    assert 0.4 < losses[0] < 1.4 and losses[-1] < 0.15
    wrong, white = re.search(r"Wrong pixels (\S+) \(all white: (\S+)\)", printed).groups()
    error, error_white = re.search(r"1 - Dice (\S+) \(all white: (\S+)\)", printed).groups()
    assert float(wrong) < float(white) / 4 and float(error) < float(error_white) / 4


def test_15_batch_norm():
    printed = output(15)
    x, sigma = np.array([1.0, 2.0, 4.0, 9.0]), np.sqrt(9.5)
    xhat = (x - 4) / sigma
    dx = 2 / sigma * ((np.eye(4) - 1 / 4 - np.outer(xhat, xhat) / 4)[0])
    for line in ("dx", "measured"):
        found = [float(v) for v in re.search(rf"^{line} \[([^]]+)\]", printed, re.M)[1].split()]
        np.testing.assert_allclose(found, dx, atol=2e-5)
    assert number_after(printed, "Largest difference:") < 1e-8
    assert float(printed.split("difference of the results\n")[1].split()[0]) < 1e-3
    table = [[float(v) for v in line.split()] for line in printed.splitlines()[-5:]]
    assert [row[0] for row in table] == [0, 1, 5, 20, 60]
    assert table[0][1:3] == [0, 1] and table[-1][3] < table[0][3] / 20


def test_16_tensor_cores():
    printed = output(16)
    assert number_after(printed, "Largest difference from the definition:") < 1e-12
    table = {row[0]: (float(row[1]), float(row[2])) for row in re.findall(
        r"^(tf32|float16|bfloat16) (\S+) (\S+)$", printed, re.M)}  # fmt: skip
    assert table["float16"][0] == float(np.float16(np.pi)) == table["tf32"][0]
    assert table["bfloat16"][0] == 3.140625  # 0x40490fdb without its lower half
    assert 1e-5 < table["tf32"][1] < 1e-3 < table["bfloat16"][1] < 1e-2
    assert (
        "1e-5 * 1e-3 = 0.0" in printed and 9e-9 < number_after(printed, "float32, it is") < 1.1e-8
    )


def test_every_lesson_has_its_test():
    tested = {int(name[5:7]) for name in globals() if re.match(r"test_\d\d_", name)}
    assert tested == {int(lesson.name[:2]) for lesson in LESSONS}


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_file_is_the_preset(preset, tmp_path):
    file = EXAMPLES / f"{preset}.toml"
    assert make(file=file) == make(preset)
    lines = file.read_text(encoding="utf-8").splitlines()
    keys = [m[1] for m in (re.match(r"(?:# )?(\w+) = ", line) for line in lines) if m]
    assert sorted(keys) == sorted(field.name for field in fields(Config))
    # what is commented out is what has no value, and its example is of the right kind
    given = tomllib.loads("\n".join(lines))
    none = {f.name for f in fields(Config) if getattr(make(preset), f.name) in (None, "")}
    if preset == "finetune":  # these are the trained network's
        none |= {*SHAPE, *USUAL}
    assert {key for key in keys if key not in given} == none
    for number, line in enumerate(lines):
        if re.match(r"# \w+ = ", line):
            one = tmp_path / "one.toml"
            one.write_text("\n".join([*lines[:number], line[2:], *lines[number + 1 :]]))
            if "from_model" in line and preset in ("paper", "ucsd"):  # of another shape
                with pytest.raises(CunetError, match="keeps its shape"):
                    make(file=one)
                continue
            more = {"tile": 400} if line == '# padding = "same"' else {}  # 412 is for valid
            assert make(file=one, options=more) != make(preset), line


@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_says_what_the_paper_says(preset):
    text = (EXAMPLES / f"{preset}.toml").read_text(encoding="utf-8")
    blocks = [b for b in re.split(r"\n\n+", text) if re.search(r"^(# )?\w+ = ", b, re.M)]
    assert len(blocks) == len(fields(Config))
    for block in blocks:
        words = " ".join(line.lstrip("# ") for line in block.splitlines())
        assert re.search(r"Paper: stated in section \d|Paper silent", words), block
