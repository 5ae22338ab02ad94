"""cunet in napari: a widget that segments image layers, a reader and a writer.

napari.yaml   what napari shows of it, and which function each entry calls
stack.py      an image layer as pages, of which parts are read when they are needed
work.py       from pages to probabilities, mask and objects, piece by piece; no window
results.py    what came out as layers, at the place of their image
models.py     which network is meant, and what it is
form.py       what the widget asks for
widget.py     the widget: the form, a thread, and the layers that come of it
files.py      cunet's TIFFs and models as napari opens them; labels as it saves them
place.py      sizes and units of layers and of files
samples.py    a stack to try it on
"""

__version__ = "0.1.0"
