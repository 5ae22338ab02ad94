"""What the widget asks for. Labels say what a choice is, tooltips what it does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    LineEdit,
    ProgressBar,
    PushButton,
    SpinBox,
)
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from cunet.segmentation.instances import METHODS, Instances
from cunet.segmentation.views import AVERAGES
from cunet_napari import models

ALL, SHOWN = "all", "the one shown"


class Said(QLabel):
    """A text of several lines, as high as it needs to be: in a dock Qt cuts it off."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)

    def setText(self, text: str) -> None:  # noqa: N802  # Qt's name
        """Show another text."""
        super().setText(text)
        self._grow()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Another width needs another height."""
        super().resizeEvent(event)
        self._grow()

    def _grow(self) -> None:
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())))


@dataclass(frozen=True)
class Wanted:
    """What a user chose."""

    model: str | None
    only_shown: bool
    tile: int | None
    average: str
    threshold: float
    products: frozenset[str]
    instances: Instances
    device: str


class Form(QWidget):
    """The fields, the buttons and the lines below them; layers: what images there are."""

    def __init__(self, layers: Callable[[Any], list]):
        super().__init__()
        self.image = ComboBox(
            label="Image", choices=layers, nullable=False,
            tooltip="An image layer: grey or RGB, a stack, multiscale, also from dask or zarr.",
        )  # fmt: skip
        self.model = ComboBox(
            label="Model", choices=[models.NEWEST, *models.CUNETS_OWN, models.OTHER],
            value=models.NEWEST,
            tooltip="Newest run: below runs/ in the folder that napari was started in.\n"
            "A model dropped onto the window is taken as well.",
        )  # fmt: skip
        self.where = LineEdit(tooltip="model.npz, the folder of a run, or a model's name")
        self.file, self.folder = PushButton(text="File"), PushButton(text="Folder")
        self.other = Container(
            widgets=[self.where, self.file, self.folder], layout="horizontal", labels=False,
            label=" ",
        )  # fmt: skip
        self.about, self.state = Said(), Said()
        self.pages = ComboBox(
            label="Pages", choices=[ALL, SHOWN], value=ALL,
            tooltip="Every page of a stack is segmented by itself. Try one before all.",
        )  # fmt: skip
        self.average = ComboBox(
            label="Average", choices=list(AVERAGES), value="none",
            tooltip="The mean over 4 flips, or 8 rotations and flips, of each tile:\n"
            "a little better, and 4 or 8 times as long.",
        )  # fmt: skip
        self.threshold = FloatSpinBox(
            label="Threshold", min=0, max=1, step=0.05, value=0.5,
            tooltip="A pixel belongs to class 1 where its probability is above this.\n"
            "With more than two classes the most probable one is taken.",
        )  # fmt: skip
        self.products = {
            "prob": CheckBox(text="probability", value=True, tooltip="from 0 to 1"),
            "mask": CheckBox(text="mask", value=False, tooltip="the class of every pixel"),
            "labels": CheckBox(
                text="objects", value=True,
                tooltip="Numbered objects. Their measures (area, place, shape, brightness) are\n"
                "the features of the layer: Layers > Visualize > Features table.",
            ),
        }  # fmt: skip
        shown = Container(
            widgets=list(self.products.values()), layout="horizontal", labels=False, label="Show"
        )
        self.instances = ComboBox(
            label="Touching objects", choices=list(METHODS), value="components",
            tooltip="components: pixels that touch are one object.\n"
            "watershed: clumps are cut at their necks. kmeans: by clustering.",
        )  # fmt: skip
        self.min_area = SpinBox(
            label="Smallest object (pixels)", min=0, max=10_000_000, value=0,
            tooltip="Objects of fewer pixels are dropped.",
        )  # fmt: skip
        self.tile = SpinBox(
            label="Tile (0: the usual)", min=0, max=20_000, value=0,
            tooltip="Side of the input tile in pixels; 0 is the usual one. A smaller one needs\n"
            "less memory. The result does not depend on it.",
        )  # fmt: skip
        self.device = ComboBox(
            label="Device", choices=["auto", "cpu", "cuda"], value="auto",
            tooltip="auto: the GPU where there is one that cunet can use",
        )  # fmt: skip
        self.segment = PushButton(text="Segment")
        self.again = PushButton(
            text="Mask and objects again", enabled=False,
            tooltip="With another threshold, cut or smallest object, from the probability of the\n"
            "last run: the network is not applied again.",
        )  # fmt: skip
        self.cancel = PushButton(text="Cancel", enabled=False)
        buttons = Container(
            widgets=[self.segment, self.again, self.cancel], layout="horizontal", labels=False
        )
        self.bar = ProgressBar(value=0, min=0, max=1, visible=False)
        self._lay_out(shown, buttons)
        self.model.changed.connect(self.describe)
        self.where.changed.connect(self.describe)
        self.file.changed.connect(lambda: self._ask(folder=False))
        self.folder.changed.connect(lambda: self._ask(folder=True))
        self.describe()

    def _lay_out(self, shown: Container, buttons: Container) -> None:
        """Labels on the left, in one column; what is said below the buttons."""
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for field in (self.image, self.model):
            self._row(rows, field)
        rows.addRow("", self.other.native)
        rows.addRow("", self.about)
        for field in (
            self.pages, self.average, self.threshold, shown, self.instances, self.min_area,
            self.tile, self.device,
        ):  # fmt: skip
            self._row(rows, field)
        whole = QVBoxLayout(self)
        whole.addLayout(rows)
        for part in (buttons.native, self.bar.native, self.state):
            whole.addWidget(part)
        whole.addStretch()

    def _row(self, rows: QFormLayout, field: Any) -> None:
        label = QLabel(field.label)
        label.setToolTip(field.tooltip or "")
        rows.addRow(label, field.native)

    def describe(self, *_: Any) -> None:
        """Say which network is chosen."""
        self.other.visible = self.model.value == models.OTHER
        self.about.setText(models.described(models.meant(self.model.value, self.where.value)))

    def take(self, path: str) -> None:
        """Choose a model file or run folder."""
        self.where.value, self.model.value = path, models.OTHER
        self.describe()

    def _ask(self, folder: bool) -> None:
        """Let the user find a model file or the folder of a run."""
        title, here = "A model of cunet", self.where.value
        if folder:
            chosen = QFileDialog.getExistingDirectory(self, title, here)
        else:
            chosen, _ = QFileDialog.getOpenFileName(self, title, here, "Models (*.npz)")
        if chosen:
            self.where.value = chosen

    def wanted(self) -> Wanted:
        """What is chosen; CunetError for what cannot be."""
        return Wanted(
            models.meant(self.model.value, self.where.value),
            self.pages.value == SHOWN,
            self.tile.value or None,
            self.average.value,
            self.threshold.value,
            frozenset(name for name, box in self.products.items() if box.value),
            Instances(self.instances.value, min_area=self.min_area.value),
            self.device.value,
        )

    def busy(self, working: bool) -> None:
        """Which buttons can be pressed, while something runs and after it."""
        self.segment.enabled, self.cancel.enabled = not working, working
        self.bar.visible = working
