"""Hostile and damaged files, made by seeds, run through the command line of cunet and judged.

A kind of input (cunet is given thousands of each) is a class with two methods:

    prepare(folder)      makes what all its cases share: good files, nets, what is right
    make(rng, folder)    writes one case into an empty folder and returns it: see case.py

nursery.py imports cunet once and forks processes that run the cases in batches; judge.py knows what
must hold for every one of them; kinds.py lists the kinds. A case is its kind, its seed and its
number: `python tests/fuzz/alone.py images 17 --seed 0` makes and runs that one again.
"""
