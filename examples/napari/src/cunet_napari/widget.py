"""The widget "Segment with a U-Net": a form, a thread that works, and the layers that come of it.

The window is never blocked: tiles are computed in the thread, which can be stopped between two of
them. Errors are shown in cunet's own words.
"""

import weakref
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import napari
import numpy as np
from napari.layers import Image
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info, show_warning

from cunet import CunetError
from cunet_napari import models, work
from cunet_napari.form import Form, Wanted
from cunet_napari.place import of_pages, pixel_size
from cunet_napari.results import Layer, Source, object_layers, probability_layers, put
from cunet_napari.stack import Stack, stack_of
from cunet_napari.work import Step

LONG = 60  # seconds from which a run is announced with its time
OPEN: "weakref.WeakSet[SegmentWidget]" = weakref.WeakSet()


@dataclass
class Run:
    """What was segmented, so that mask and objects can be made again without the network."""

    source: Source
    stack: Stack
    pages: list[tuple[int, ...]]
    size: tuple[tuple[float, float] | None, str]
    probability: np.ndarray


@dataclass
class Done:
    """What the thread returns: layers and what to say of them, or the error."""

    run: Run | None = None
    layers: list[Layer] | None = None
    notes: list[str] | None = None
    error: CunetError | None = None


class SegmentWidget(Form):
    """The form, in a viewer."""

    def __init__(self, viewer: "napari.viewer.Viewer"):
        self.viewer, self.worker, self.last = viewer, None, None
        self._progress, self._told = None, False
        super().__init__(lambda _: [layer for layer in viewer.layers if isinstance(layer, Image)])
        self.segment.changed.connect(self.start)
        self.again.changed.connect(self.start_again)
        self.cancel.changed.connect(self.stop)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._layers_changed)
        for layer in viewer.layers:
            layer.events.name.connect(self._layers_changed)
        active = viewer.layers.selection.active
        if isinstance(active, Image):
            self.image.value = active
        self.destroyed.connect(partial(_closed, weakref.ref(self)))
        OPEN.add(self)

    def _layers_changed(self, event: Any) -> None:
        """Offer the images that there are now."""
        if self not in OPEN:  # closed; the viewer goes on
            return
        chosen = self.image.value
        self.image.reset_choices()
        if chosen in self.image.choices:
            self.image.value = chosen
        if event.type == "inserted":
            event.value.events.name.connect(self._layers_changed)

    def start(self, *_: Any) -> None:
        """Segment what is chosen."""
        try:
            wanted = self.form_is_complete()
        except CunetError as error:
            show_error(str(error))
            return
        layer, index = self.image.value, None
        if wanted.only_shown:
            index = shown_index(self.viewer, layer)
        self._work(segmented, layer, index, wanted)

    def start_again(self, *_: Any) -> None:
        """Make the mask and the objects of the last run again."""
        try:
            self._work(again, self.last, self.wanted())
        except CunetError as error:
            show_error(str(error))

    def form_is_complete(self) -> Wanted:
        """What is wanted; CunetError where something is missing."""
        if self.image.value is None:
            raise CunetError("no image layer: open an image, or File > Open Sample > cunet")
        wanted = self.wanted()
        if not wanted.products:
            raise CunetError("nothing to show: tick probability, mask or objects")
        return wanted

    def _work(self, function: Any, *arguments: Any) -> None:
        self.busy(True)
        self.again.enabled, self._told = False, False
        self.state.setText("reading the model")
        self.bar.value = 0
        self.worker = create_worker(
            function, *arguments, _start_thread=False, _ignore_errors=True,
            _connect={"yielded": self._step, "returned": self._done, "aborted": self._stopped,
                      "errored": self._ended},
        )  # fmt: skip
        self.worker.start()

    def stop(self, *_: Any) -> None:
        """Stop before the next tile."""
        if self.worker is not None:
            self.state.setText("stopping after this tile")
            self.worker.quit()

    def _step(self, step: Step) -> None:
        """Show how far the thread is."""
        self.bar.max, self.bar.value = step.of, step.done
        left = duration(step.seconds_left)
        self.state.setText(f"{step.done} of {step.of} {step.what}, {left} left")
        if step.seconds_left > LONG and not self._told:
            self._told = True
            show_info(f"cunet: this takes {left}. napari can be used meanwhile; Cancel stops it.")
        self._show_activity(step)

    def _show_activity(self, step: Step) -> None:
        """The bar in napari's own list of activities. napari handles waiting events whenever it
        draws it, the end of the thread among them: so this comes last, and looks again."""
        if self._progress is None and self.worker is not None:
            bar = napari.utils.progress(total=step.of, desc="cunet")
            if self.worker is None:
                bar.close()
                return
            self._progress = bar
        bar = self._progress
        if bar is not None:
            bar.total = step.of
            bar.update(step.done - bar.n)

    def _done(self, done: Done) -> None:
        """Show what came out."""
        self._ended()
        if done.error is not None:
            self.state.setText(str(done.error))
            show_error(str(done.error))
            return
        self.last = done.run
        self.again.enabled = True
        kept = put(self.viewer, done.layers or [])
        for name in kept:
            show_info(f"cunet: '{name}' was changed by hand, so it is kept beside the new layer")
        for note in done.notes or []:
            show_warning(note)
        names = ", ".join(options["name"] for _, options, _ in done.layers or [])
        self.state.setText("\n".join([f"made: {names}", *(done.notes or [])]))

    def _stopped(self) -> None:
        self._ended()
        self.state.setText("stopped; nothing was changed")

    def _ended(self, error: Exception | None = None) -> None:
        """Nothing runs any more. An error that is none of cunet's was shown by napari already."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None
        self.worker = None
        self.busy(False)
        self.again.enabled = self.last is not None
        if error is not None:
            self.state.setText(f"{type(error).__name__}: {error}")


def segmented(
    layer: Image, index: tuple[int, ...] | None, wanted: Wanted
) -> Generator[Step, None, Done]:
    """Segment all pages of a layer, or the one at `index`."""
    try:
        net, name, notes = models.loaded(wanted.model, wanted.device)
        stack = stack_of(layer, net.shape.in_channels)
        if index is not None and stack.channel_axis is not None:
            index = tuple(np.delete(index, stack.channel_axis).tolist())
        pages = stack.pages if index is None else [index]
        place = of_pages(layer, stack.channel_axis, index)
        notes = [*notes, *work.doubts(stack, pages[0], net)]
        called = stack.name if index in (None, ()) else f"{stack.name} {list(index)}"
        shape = stack.lead if index is None else (1,) * len(index)
        text = f"model {name}, average {wanted.average}"
        source = Source(called, shape, place, text)
        size = pixel_size(place["scale"], place["units"])
        probability = yield from work.probabilities(stack, pages, net, wanted.tile, wanted.average)
        run = Run(source, stack, pages, size, probability)
        layers = []
        if "prob" in wanted.products:
            layers = probability_layers(source, probability, wanted.products == {"prob"})
        made = yield from _objects(run, wanted)
        return Done(run, layers + made.layers, notes + made.notes)
    except CunetError as error:
        return Done(error=error)


def again(run: Run, wanted: Wanted) -> Generator[Step, None, Done]:
    """The mask and the objects of a run, with other settings."""
    try:
        return (yield from _objects(run, wanted))
    except CunetError as error:
        return Done(error=error)


def _objects(run: Run, wanted: Wanted) -> Generator[Step, None, Done]:
    products = wanted.products & {"mask", "labels"}
    if not products:
        return Done(run, [], [])
    found = yield from work.objects(
        run.probability, wanted.threshold, wanted.instances, run.stack, run.pages, *run.size
    )
    notes = work.one_class(run.source.name, found.mask, max(2, len(run.probability)))
    return Done(run, object_layers(run.source, found, products), notes)


def shown_index(viewer: Any, layer: Image) -> tuple[int, ...]:
    """Which page of a layer the viewer shows, along the layer's axes before height and width."""
    point = layer.world_to_data(viewer.dims.point[-layer.ndim :])[:-2]
    data = layer.data[0] if layer.multiscale else layer.data
    place = zip(point, data.shape, strict=False)
    return tuple(int(np.clip(round(float(at)), 0, size - 1)) for at, size in place)


def take(path: str) -> None:
    """Make a file the model of the widget that is open; open one where there is none."""
    if not OPEN:
        viewer = napari.current_viewer()
        if viewer is None:
            raise CunetError(f"'{path}' is a model of cunet: choose it in Segment with a U-Net")
        viewer.window.add_plugin_dock_widget("cunet-napari", "Segment with a U-Net")
    for widget in OPEN:
        widget.take(path)
    show_info(f"cunet: the model is now '{path}'; choose an image and press Segment")


def duration(seconds: float) -> str:
    """About how long, in words."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _closed(widget: "weakref.ref[SegmentWidget]", *_: Any) -> None:
    """Stop the thread of a widget that is closed, and forget it."""
    own = widget()
    if own is not None:
        OPEN.discard(own)
        if own.worker is not None:
            own.worker.quit()
