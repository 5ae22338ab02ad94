"""What the tests of lessons read: the parts of a lesson, its arrays by name, its words."""

import functools
import re
from unittest.mock import patch

import cunet
from cunet.lessons import learning
from cunet.lessons.lesson import Lesson
from cunet.lessons.parts import Arrays, Check, Table

TRAIN, TELL = learning.train, Lesson.parts


@functools.cache
def trained():
    """The network of the lesson on learning; one training serves all tests."""
    scene = learning.scene(learning.LEARNED)
    return TRAIN(scene.x, scene.labels)


@functools.cache
def parts(name, answer=False):
    """All parts of a lesson, or of its exercise and answer; computed once."""
    with patch.object(learning, "train", lambda x, labels: trained()):
        return tuple(TELL(Lesson(name, answer)))


def arrays(name, answer=False):
    """Its arrays by name; of several of one name the list of them, in order."""
    found = {}
    for part in parts(name, answer):
        if isinstance(part, Arrays):
            for key, array in part.arrays.items():
                found.setdefault(key, []).append(array)
    return found


def tables(name, answer=False):
    return [part for part in parts(name, answer) if isinstance(part, Table)]


def checks(name, answer=False):
    """How far apart each two results are."""
    return {p.what: p.error for p in parts(name, answer) if isinstance(p, Check)}


@functools.cache
def words(name, answer=False):
    """What is printed, with runs of spaces and line ends made one space."""
    return re.sub(r"\s+", " ", str(cunet.lesson(name, answer)))


def number_after(text, where):
    """The number that follows the only occurrence of `where`."""
    _, rest = text.split(where)
    found = re.match(r"\s*([-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)", rest)
    return float(found[1].replace(",", "").rstrip("."))
