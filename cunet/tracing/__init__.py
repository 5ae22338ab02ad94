"""One forward and backward pass looked at: what every layer computes, learns and sees.

To be read in this order: recording.py (an engine that keeps what passes through it), layers.py (the
arrays and numbers of a layer), field.py (what one output pixel sees), skips.py (what each skip
contributes), place.py and given.py (which tile of what), trace.py (all of it), then the page.
"""
