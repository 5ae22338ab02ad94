"""cunet.paper and `cunet paper`: the page, the document, and folders that are not whole."""

import json
import re

import pytest
from report_pages import Page
from small_crossval import of_older_cunet

import cunet
from cunet.claims import crossval_facts, facts, recipe
from cunet.claims.differences import protocol, sentences
from cunet.claims.paper import document
from cunet.errors import CunetError, DataError
from cunet.training.config import Config


def edit(path, change):
    """Change a JSON file by a function of its content."""
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def test_the_page_says_what_the_files_say(folder, run):
    code, text, err = run("paper", folder)
    assert code == 0 and text.strip() == str(folder / "paper.html")
    assert "cunet explain --model" in err
    words = Page((folder / "paper.html").read_text(encoding="utf-8")).words
    metrics = json.loads((folder / "metrics.json").read_text())
    for average in ("none", "rotations"):
        mean, sd = metrics["mean"][average], metrics["sd"][average]
        assert f"{mean['pixel_error']:.4f} ± {sd['pixel_error']:.4f}" in words
        assert f"{metrics['stack'][average]['v_rand']:.4f}" in words
    assert "10 hours on an NVidia Titan GPU (6 GB)" in words and "10 steps" in words
    assert "2 folds x 2 seeds, every slice held out once a seed, last network, 8 views" in words
    counts = metrics["scored"]
    assert f"5 slices, {counts['pixels']:,} pixels, {counts['objects']} objects" in words
    for name in ("folds", "seeds"):
        sd = metrics[name]["sd"]["rotations"]["pixel_error"]
        assert re.search(rf"sd of the 2 {name}' means, 8 views averaged.{{,99}}± {sd:.4f}", words)
    assert "preset cpu" in words
    # synthetic membranes are not the challenge's
    assert "0.000353" not in words and "not the training stack of the ISBI 2012" in words


def test_the_document_is_the_same_as_json(folder, run):
    code, text, _ = run("paper", folder, "--json")
    found = json.loads(text)
    assert code == 0 and not (folder / "paper.html").exists()
    assert len(found["architecture"]) == len(facts.ARCHITECTURE)
    assert len(found["recipe"]) == len(facts.RECIPE)
    assert found["protocol"]["held_out"] == {"fold0-seed4": [0, 2, 4], "fold1-seed4": [1, 3]}
    assert found["table_1"] is None and found["problems"] == []
    metrics = json.loads((folder / "metrics.json").read_text())
    seconds = [entry["seconds"] for entry in metrics["runs"]]
    assert found["cost"]["seconds_in_all"] == pytest.approx(sum(seconds))
    differing = [one["statement"]["name"] for one in found["architecture"] if not one["holds"]]
    text = "\n".join(found["differences"])
    assert all(f"Network, {name}: " in text for name in differing) and "layers" in differing
    assert run("paper", folder, "--json", "-o", folder / "p.html")[0] == 0
    assert (folder / "p.html").is_file()


def test_the_challenges_own_slices_stand_beside_table_1(folder, monkeypatch):
    """Of five slices, the files being those whose hashes are known."""
    hashes = json.loads((folder / "fold0-seed4" / "env.json").read_text())["data"]
    monkeypatch.setattr(facts, "SLICES", 5)
    found = document(folder)
    assert "differ from the challenge's own files" in found["data_doubt"]
    monkeypatch.setattr(facts, "ISBI_2012", hashes)
    found = document(folder)
    assert found["data_doubt"] is None
    assert {"name": "u-net", "warping_error": 0.000353, "rand_error": 0.0382,
            "pixel_error": 0.0611} in found["table_1"]  # fmt: skip
    text = "\n".join(found["differences"])
    mean = found["scores"]["mean"]["rotations"]["pixel_error"]
    assert f"pixel error: {mean:.4f}" in text and f"{mean / 0.0611:.2g} times" in text
    assert "hidden test stack" in text
    words = Page(cunet.paper(folder).read_text(encoding="utf-8")).words
    assert "0.000353" in words and "0.000005" in words and "not a ranking" in words


def test_a_low_warping_error_of_an_empty_prediction_is_no_merit():
    def said(warping, rand):
        mean = {"warping_error": warping, "rand_error": rand, "pixel_error": 0.12}
        runs = [{"fold": k, "held_out": [k], "steps": 1, "seconds": 9.0} for k in (0, 1)]
        metrics = {"average": "none", "mean": {"none": mean}, "sd": {"none": mean}, "runs": runs}
        return "\n".join(sentences([], [], Config(), metrics, True))

    assert "says nothing" in said(0.0, 0.92)
    assert "says nothing" not in said(0.0003, 0.04) and "says nothing" not in said(0.03, 0.92)
    assert "Network and recipe are all that the paper states." in said(0.03, 0.92)


@pytest.mark.parametrize("average", ["none", "flips", "rotations"])
def test_only_rotations_are_a_reading_of_the_papers_averaging(average):
    runs = [{"fold": k, "held_out": [k], "steps": 1, "seconds": 9.0} for k in (0, 1)]
    text = "\n".join(protocol({"average": average, "runs": runs}))
    assert ("is read as" in text) == (average == "rotations")
    assert recipe.VIEWS[average] in text and "1 step, 9 s to 9 s a run" in text


def test_a_page_does_not_take_the_place_of_another_file(folder, run):
    (folder / "fold0-seed4" / "report.html").unlink(missing_ok=True)
    before = (folder / "metrics.json").read_bytes()
    for out in (folder / "metrics.json", folder / "fold0-seed4" / "report.html"):
        assert run("paper", folder, "-o", out, "--overwrite")[0] == 2
        with pytest.raises(CunetError, match="ends in .html|belongs"):
            cunet.paper(folder, out, overwrite=True)
    assert (folder / "metrics.json").read_bytes() == before
    assert not (folder / "fold0-seed4" / "report.html").exists()


def test_an_older_page_is_not_replaced_unasked(folder, run):
    page = cunet.paper(folder)
    page.write_text("mine")
    assert run("paper", folder)[0] == 2
    with pytest.raises(CunetError, match="overwrite=True"):
        cunet.paper(folder)
    assert page.read_text() == "mine"
    assert run("paper", folder, "--overwrite")[0] == 0 and page.read_text() != "mine"


def test_a_cross_validation_that_is_not_finished_is_told_how_to_go_on(folder, run):
    (folder / "metrics.json").unlink()
    code, out, err = run("paper", folder)
    assert code == 2 and not out and f"cunet crossval --resume {folder}" in err
    code, _, err = run("paper", folder / "fold0-seed4")
    assert code == 2 and "not a cross-validation" in err


def test_scores_of_other_settings_are_not_shown(folder):
    text = (folder / "crossval.toml").read_text()
    (folder / "crossval.toml").write_text(text.replace("seeds = 2", "seeds = 3"))
    with pytest.raises(CunetError, match="scores of 4 runs.*ask for 6"):
        document(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("mean"),
        lambda m: m["mean"].pop("none"),
        lambda m: m["mean"]["none"].pop("rand_error"),
        lambda m: m["runs"][0].update(seconds="long"),
        lambda m: m["runs"][1].update(held_out=None),
        lambda m: m["stack"]["rotations"].update(pixel_error="low"),
        lambda m: m["runs"][1].update(held_out=["2"]),
        lambda m: m["runs"][2].update(steps=0),
        lambda m: m["runs"][0].pop("model"),
        lambda m: m["runs"][0]["rotations"].pop("v_info"),
        lambda m: m["seeds"]["sd"].pop("none"),
        lambda m: m.pop("folds"),
        lambda m: m["folds"]["sd"]["none"].pop("v_info"),
        lambda m: m["scored"].update(objects="many"),
        lambda m: m["scored"].pop("objects_are"),
        lambda m: m["runs"][0]["scored"].pop("objects"),
        lambda m: m.update(runs={}),
    ],
)
def test_damaged_scores_are_an_error_that_names_the_file(folder, change):
    edit(folder / "metrics.json", change)
    with pytest.raises((DataError, CunetError), match=re.escape(str(folder / "metrics.json"))):
        document(folder)


def test_a_file_that_is_no_json_is_named(folder):
    (folder / "metrics.json").write_text("{")
    with pytest.raises(DataError, match="metrics.json.*damaged"):
        document(folder)


def test_what_is_missing_of_a_run_is_marked_on_the_page(folder, run):
    (folder / "fold1-seed4" / "last.npz").unlink()
    (folder / "fold0-seed5" / "last.npz").write_bytes(b"another")
    (folder / "fold0-seed4" / "env.json").write_text("{}")
    code, _, err = run("paper", folder)
    assert code == 0 and err.count("warning: ") == 3
    page = (folder / "paper.html").read_text(encoding="utf-8")
    assert page.count('class="alert"') >= 4
    words = Page(page).words
    assert "fold1-seed4: its network, last.npz, is gone" in words
    assert "fold0-seed5: its last.npz is not the network that was scored" in words
    (folder / "fold0-seed4" / "last.npz").unlink()  # whose network is looked at
    code, _, err = run("paper", folder, "--overwrite")
    assert code == 2 and "last.npz" in err


def test_data_without_all_scores_have_a_page_without_the_table(folder):
    """As of three classes: pixel error and Dice alone."""

    def limit(metrics):
        metrics["limits"] = "the data have 3 classes"
        seeds = metrics["seeds"]
        folds = metrics["folds"]
        groups = [metrics["mean"], metrics["sd"], metrics["stack"], seeds["mean"], seeds["sd"]]
        groups += [folds["mean"], folds["sd"]]
        for given in (*groups, *metrics["runs"]):
            for average in ("none", "rotations"):
                for key in ("rand_error", "warping_error", "v_rand", "v_info"):
                    del given[average][key]

    edit(folder / "metrics.json", limit)
    words = Page(cunet.paper(folder).read_text(encoding="utf-8")).words
    assert "the data have 3 classes" in words and "Rand error" not in words
    assert "pixel error" in words and "0.0382" not in words


def test_a_folder_of_an_older_cunet_has_its_page_as_it_is(folder, run):
    """Further seeds of fold 0 alone, no objects counted."""
    of_older_cunet(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    code, _, err = run("paper", folder)
    assert code == 0 and "warning" not in err
    words = Page((folder / "paper.html").read_text(encoding="utf-8")).words
    assert "objects were not counted" in words and "2 folds, every slice held out once" in words
    assert "fold 0 with 2 seeds" in words and "mean of 2 folds ± sd" in words
    for given in (metrics, metrics["seeds"]):
        mean, sd = given["mean"]["none"]["dice"], given["sd"]["none"]["dice"]
        assert f"{mean:.4f} ± {sd:.4f}" in words
    assert run("paper", folder, "--json")[0] == 0


def test_undefined_scores_stay_undefined(folder):
    edit(folder / "metrics.json", lambda m: m["mean"]["rotations"].update(v_rand=None))
    assert crossval_facts.read(folder).metrics["mean"]["rotations"]["v_rand"] != 0
    assert "undefined" in Page(cunet.paper(folder).read_text(encoding="utf-8")).words


def test_names_of_folders_are_shown_as_text(folder):
    odd = folder.rename(folder.parent / "a <b>&c")
    assert "a <b>&c" in Page(cunet.paper(odd).read_text(encoding="utf-8")).words
