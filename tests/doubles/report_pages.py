"""Short runs, and the pages that report on them, parsed strictly."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

import cunet
from cunet.reporting import write_report

TRAINED_ON = 9  # pictures on a page: three of a training slice, and one of each of six samples
VOID = {"meta", "img", "br", "hr", "link", "input"}
SMALL = {
    "width": 2, "depth": 2, "tile": 60, "steps": 6, "validate_every": 2, "lr": 1e-3,
    "solver": "adam", "dropout": 0.0, "clip": 0.0, "weight_map": "balance", "device": "cpu",
    "threads": 1,
}  # fmt: skip


class Page(HTMLParser):
    """Parses a page strictly: every element closed in order, all its text and addresses kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.addresses, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def train(out, data, stop=None, **settings):
    """The folder of a short run on data, left after step `stop`, else finished."""
    config = cunet.Config(**SMALL | {"data": str(data), "out": str(out), "fold": "0/2"} | settings)
    records = cunet.train(config)
    for record in records:
        if record["step"] == stop:
            records.close()
            break
    return out


def page_of(run):
    """The report of a run, written and parsed."""
    return Page(write_report(run).read_text(encoding="utf-8"))


def picture_of(uri):
    """The pixels of a picture that stands in a page."""
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
