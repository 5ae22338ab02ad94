"""Which slices train: folds, names, shares, and what is dropped."""

import pytest

from cunet.errors import CunetError
from cunet.training.config import Config
from cunet.training.held_out import split

NAMES = [f"{s}/t{n:03}" for s in ("01", "02") for n in (2, 5, 9, 12, 30)]


def parts(names=NAMES, **settings):
    training, held_out = split(Config(**settings), names)
    return [names[i] for i in training], [names[i] for i in held_out]


def test_nothing_is_held_out_unasked():
    assert parts() == (NAMES, [])


def test_a_fold():
    assert parts(fold="1/5") == ([n for n in NAMES if "5" not in n], ["01/t005", "02/t005"])


@pytest.mark.parametrize(
    "given,held_out",
    [
        ("02", NAMES[5:]),
        ("02/", NAMES[5:]),
        ("01/t009", ["01/t009"]),
        ("01/t009, 02/t030", ["01/t009", "02/t030"]),
        ("*/t0[0-2]*", [n for n in NAMES if "t030" not in n]),
        ("02,02/t005", NAMES[5:]),
    ],
)
def test_slices_held_out_by_name(given, held_out):
    assert parts(hold_out=given) == ([n for n in NAMES if n not in held_out], held_out)


ODD = (
    "vol[0]", "vol[1]", "vol[2]", "img 1", "img [1]", "img [2]", "cell 0, day 1", "cell 1, day 1",
    "cell 1", "a*", "ab", " blank", "tail ", "x, y", "y, z", "x", "set [1]/a", "set [1]/b", "end,",
    "q?", "q1",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("setting", ["hold_out", "drop"])
def test_a_name_that_exists_means_that_slice(name, setting):
    training, held_out = parts(ODD, **{setting: name})
    assert held_out == ([name] if setting == "hold_out" else [])
    assert sorted(training) == sorted({*ODD} - {name})


@pytest.mark.parametrize("comma", [",", ", "])
def test_lists_of_any_names_can_be_pasted_back(comma):
    for chosen in (ODD[:6], ODD[3:8], ODD[6:9], ODD[9:15], ODD[15:], ODD[1::2]):
        given = comma.join(chosen)
        if comma == ", " and chosen[0] == "img 1":
            given += comma  # nothing between two commas is nothing
        assert parts(ODD, hold_out=given)[1] == [n for n in ODD if n in chosen]


@pytest.mark.parametrize(
    "given,held_out",
    [
        ("vol[*]", ["vol[0]", "vol[1]", "vol[2]"]),
        ("vol[[]0], img*]", ["vol[0]", "img [1]", "img [2]"]),
        ("img [1]*", ["img [1]"]),
        ("img [0-9]", ["img 1"]),
        ("cell ?, day 1", ["cell 0, day 1", "cell 1, day 1"]),
        ("set [1]", ["set [1]/a", "set [1]/b"]),
        ("set [1]/, ab", ["ab", "set [1]/a", "set [1]/b"]),
        ("x, y, z", ["y, z", "x"]),  # "x, y" would leave a z that is none
        ("  tail  ", ["tail "]),
        (",ab,, x,", ["ab", "x"]),
    ],
)
def test_patterns_and_folders_with_brackets_and_commas(given, held_out):
    assert parts(ODD, hold_out=given)[1] == held_out


def test_accents_however_they_are_typed():
    assert parts(["caf\u00e9", "b"], hold_out="cafe\u0301")[1] == ["caf\u00e9"]


def test_the_part_of_a_list_that_is_no_slice_is_named():
    for given, wrong in (("ab, cell 7, day 1", "cell 7"), ("vol[3]", "vol[3]"), ("x, zz", "zz")):
        with pytest.raises(CunetError) as caught:
            parts(ODD, hold_out=given)
        assert f"no slice is named '{wrong}'" in str(caught.value)


def test_dropped_slices_are_in_neither_part_and_shift_no_fold():
    training, held_out = parts(fold="0/5", drop="01/t002,02/t012")
    assert held_out == ["02/t002"] and len(training) == 7
    assert not {"01/t002", "02/t012"} & {*training, *held_out}


def test_shares_are_drawn_by_the_seed_and_nested():
    names = [f"{i:03}" for i in range(100)]
    found = [parts(names, train_share=share, seed=3) for share in (0.1, 0.5, 0.8)]
    for share, (training, held_out) in zip((10, 50, 80), found, strict=True):
        assert len(training) == share and sorted(training + held_out) == names
    assert set(found[0][0]) < set(found[1][0]) < set(found[2][0])
    assert parts(names, train_share=0.1, seed=3) == found[0]
    assert parts(names, train_share=0.1, seed=4) != found[0]
    assert found[0][0] != names[:10], "drawn, not the first ones"


@pytest.mark.parametrize(
    "settings,reported",
    [
        ({"hold_out": "03"}, "hold_out: no slice is named '03'; there are 10: 01/t002"),
        ({"drop": "01,x"}, "drop: no slice is named 'x'"),
        ({"hold_out": "01,02"}, "0 would train and 10 be held out"),
        ({"drop": "01,02"}, "0 would train"),
        ({"drop": "02", "hold_out": "02"}, "5 would train and 0 be held out"),
        ({"fold": "11/12"}, "10 would train and 0 be held out"),
        ({"train_share": 0.01}, "0 would train"),
        ({"train_share": 0.99}, "10 would train and 0 be held out"),
    ],
)
def test_splits_that_leave_nothing(settings, reported):
    with pytest.raises(CunetError) as caught:
        parts(**settings)
    assert reported in str(caught.value)


@pytest.mark.parametrize(
    "settings,reported",
    [
        ({"fold": "0/5", "hold_out": "02"}, "fold and hold_out: give one"),
        ({"train_share": 0.5, "fold": "0/5"}, "fold and train_share"),
        ({"train_share": 0.0}, "train_share: expected a share"),
        ({"train_share": 1.5}, "train_share: expected a share"),
    ],
)
def test_splits_that_contradict_themselves(settings, reported):
    with pytest.raises(CunetError, match=reported):
        Config(**settings)
