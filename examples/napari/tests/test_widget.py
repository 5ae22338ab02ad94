"""The widget: what it asks for, the thread, the layers, what it says; drawn nowhere."""

import time

import numpy as np
import pytest
from cunet_napari import models, widget
from cunet_napari.form import SHOWN
from cunet_napari.widget import SegmentWidget

import cunet
from cunet import CunetError


@pytest.fixture
def said(monkeypatch):
    """What the user is told, as (kind, text)."""
    told = []
    for kind in ("error", "info", "warning"):
        monkeypatch.setattr(
            widget, f"show_{kind}", lambda text, kind=kind: told.append((kind, text))
        )
    return told


@pytest.fixture
def form(qtbot, viewer, noise, model, said):
    """A widget with a stack of time and slices, 2 x 3 pages, and a small network."""
    viewer.add_image(
        noise(2, 3, 60, 66), name="cells", scale=(5, 3, 0.5, 0.25), translate=(0, 7, 1, 2),
        units=("s", "um", "um", "um"), axis_labels=("t", "z", "y", "x"),
    )  # fmt: skip
    form = SegmentWidget(viewer)
    qtbot.addWidget(form)
    form.take(str(model()))
    return form


def wait(qtbot, form):
    qtbot.waitUntil(lambda: form.worker is None, timeout=60_000)


def test_a_run_gives_layers_at_the_place_of_their_image(form, viewer, qtbot, said, model):
    form.products["mask"].value = True
    form.start()
    assert not form.segment.enabled and form.cancel.enabled
    wait(qtbot, form)
    assert [kind for kind, _ in said if kind == "error"] == []
    assert form.segment.enabled and not form.cancel.enabled
    assert [layer.name for layer in viewer.layers] == [
        "cells", "cells prob", "cells mask", "cells labels"
    ]  # fmt: skip
    image, prob, mask, labels = viewer.layers
    for layer in (prob, mask, labels):
        assert layer.data.shape == (2, 3, 60, 66)
        np.testing.assert_array_equal(layer.scale, image.scale)
        np.testing.assert_array_equal(layer.translate, image.translate)
        assert layer.units == image.units and layer.axis_labels == image.axis_labels
    whole = cunet.segment(image.data[1, 2], cunet.load(model()))[..., 1]
    np.testing.assert_array_equal(prob.data[1, 2], whole)
    np.testing.assert_array_equal(mask.data, prob.data > 0.5)
    assert tuple(prob.contrast_limits) == (0, 1) and type(labels).__name__ == "Labels"
    table = labels.features
    areas = np.bincount(labels.data.ravel())
    np.testing.assert_array_equal(table["area"], areas[table["index"]])
    np.testing.assert_allclose(table["area_um2"], table["area"] * 0.125)


def test_the_page_that_is_shown(form, viewer, qtbot, model):
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(1, 2)
    form.pages.value = SHOWN
    form.start()
    wait(qtbot, form)
    image, prob = viewer.layers["cells"], viewer.layers["cells [1, 2] prob"]
    assert prob.data.shape == (1, 1, 60, 66)
    whole = cunet.segment(image.data[1, 2], cunet.load(model()))[..., 1]
    np.testing.assert_array_equal(prob.data[0, 0], whole)
    for corner in ((0, 0), (59, 65)):
        np.testing.assert_allclose(
            prob.data_to_world((0, 0, *corner)), image.data_to_world((1, 2, *corner))
        )


def test_running_again_replaces_what_nobody_changed(form, viewer, qtbot, said):
    form.start()
    wait(qtbot, form)
    viewer.layers["cells labels"].data[0, 0, :5, :5] = 77  # painted by hand
    form.threshold.value = 0.4
    form.start()
    wait(qtbot, form)
    names = [layer.name for layer in viewer.layers]
    assert names == ["cells", "cells prob", "cells labels", "cells labels [1]"]
    assert (viewer.layers["cells labels"].data[0, 0, :5, :5] == 77).all()
    assert any("changed by hand" in text for _, text in said)
    new = viewer.layers["cells labels [1]"].data
    np.testing.assert_array_equal(new > 0, viewer.layers["cells prob"].data > np.float32(0.4))


def test_another_threshold_without_the_network(form, viewer, qtbot, monkeypatch):
    assert not form.again.enabled
    form.start()
    wait(qtbot, form)
    monkeypatch.setattr(widget.work, "probabilities", None)  # an error where it is called
    form.threshold.value = 0.45
    form.start_again()
    wait(qtbot, form)
    prob, labels = viewer.layers["cells prob"], viewer.layers["cells labels"]
    np.testing.assert_array_equal(labels.data > 0, prob.data > np.float32(0.45))
    assert len(labels.features) == labels.data.max()


def test_cancel_stops_between_two_tiles(form, viewer, qtbot, monkeypatch, said):
    usual, parts = widget.work._part, []

    def slow(*arguments):
        parts.append(1)
        time.sleep(0.05)
        return usual(*arguments)

    monkeypatch.setattr(widget.work, "_part", slow)
    form.tile.value = 44
    form.start()
    qtbot.waitUntil(lambda: form.bar.value > 0, timeout=60_000)
    form.stop()
    wait(qtbot, form)
    assert len(parts) < form.bar.max and len(viewer.layers) == 1
    assert "stopped" in form.state.text() and form.segment.enabled and not form.again.enabled


def test_a_long_run_is_announced(form, said):
    form._step(widget.Step(1, 100, 720))
    form._step(widget.Step(2, 100, 713))
    assert [text for kind, text in said if kind == "info"] == [
        "cunet: this takes 12 minutes. napari can be used meanwhile; Cancel stops it."
    ]
    assert form.state.text() == "2 of 100 tiles, 12 minutes left"
    form._ended()


def test_the_end_may_come_while_napari_draws_its_bar(form, monkeypatch, viewer):
    """napari handles waiting events when it draws: the last step must not hide what was made."""
    bars = []

    class Bar:
        def __init__(self, total, desc):
            self.total, self.n, self.closed = total, 0, False
            bars.append(self)

        def update(self, count):
            form._done(widget.Done(run=None, layers=[], notes=["a note"]))

        def close(self):
            self.closed = True

    monkeypatch.setattr(widget.napari.utils, "progress", Bar)
    form.worker = object()
    form._step(widget.Step(1, 1, 0))
    assert form.state.text().endswith("a note") and form.worker is None
    assert bars[0].closed and form._progress is None


def test_errors_are_shown_in_cunets_own_words(form, viewer, qtbot, said, model):
    form.take("/nowhere/net.npz")
    form.start()
    wait(qtbot, form)
    form.take(str(model(3)))
    form.start()
    wait(qtbot, form)
    for box in form.products.values():
        box.value = False
    form.start()
    kinds, texts = zip(*said, strict=True)
    assert set(kinds) == {"error"} and len(viewer.layers) == 1
    assert "/nowhere/net.npz" in texts[0] and "Traceback" not in texts[0]
    assert "has 1 channel, the model was made for 3" in texts[1]
    assert "tick" in texts[2]


def test_doubts_are_warnings(form, viewer, qtbot, said):
    viewer.add_image(np.full((50, 50), 40_000, np.uint16), name="far")
    form.image.value = viewer.layers["far"]
    form.start()
    wait(qtbot, form)
    assert any(kind == "warning" and "far from the training" in text for kind, text in said)


def test_the_list_of_images_follows_the_layers(form, viewer, noise):
    viewer.add_labels(noise(20, 20), name="not an image")
    viewer.add_image(noise(20, 20), name="second")
    assert [layer.name for layer in form.image.choices] == ["cells", "second"]
    assert form.image.value.name == "cells"
    viewer.layers.remove("cells")
    assert form.image.value.name == "second"
    viewer.layers.clear()
    form.start()  # says that there is none
    assert form.worker is None


def test_the_model_is_described_before_it_is_used(form, model, tmp_path, monkeypatch):
    assert "width 2, depth 1, 2 classes, 1 channel" in form.about.text()
    assert str(model().resolve()) in form.about.text()
    monkeypatch.chdir(tmp_path)
    form.model.value = models.NEWEST
    assert form.about.text().startswith("no run below this folder, so model em")
    form.model.value = next(iter(models.CUNETS_OWN))
    assert "non-commercial" in form.about.text() and form.other.visible is False
    form.take("")
    assert "give a model file" in form.about.text()


def test_a_name_means_the_network_of_that_name(model, monkeypatch, tmp_path):
    monkeypatch.setenv("CUNET_MODELS", str(tmp_path))
    path = tmp_path / "isbi-wide.npz"
    path.write_bytes(model().read_bytes())
    net, name, _ = models.loaded("isbi-wide", "cpu")
    assert net.shape.width == 2 and name == str(path)
    assert str(path) in models.described("isbi-wide")


def test_a_dropped_model_is_taken_by_the_open_widget(form, model, said):
    from cunet_napari.files import model_reader

    path = str(model(1, 3))
    assert model_reader(path)(path) == [(None,)]
    assert form.where.value == path and "3 classes" in form.about.text()
    assert any(path in text for _, text in said)


def test_durations():
    assert [widget.duration(s) for s in (5.2, 89, 90, 720, 9000)] == [
        "5 seconds", "89 seconds", "2 minutes", "12 minutes", "2.5 hours",
    ]  # fmt: skip


def test_a_closed_widget_is_forgotten_and_the_viewer_goes_on(viewer, qtbot, noise, model):
    form = SegmentWidget(viewer)
    assert form in widget.OPEN
    form.deleteLater()
    qtbot.waitUntil(lambda: form not in widget.OPEN)
    viewer.add_image(noise(20, 20), name="later").name = "renamed"
    with pytest.raises(CunetError, match="choose it in Segment with a U-Net"):
        widget.take(str(model()))


def test_a_renamed_layer(form, viewer):
    viewer.layers["cells"].name = "other"
    assert "other" in form.image.native.currentText()
