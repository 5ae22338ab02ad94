"""Trained networks by name: those that come with cunet, in wheels, in folders, and in an index.

names.py    what a name may be
record.py   NAME.json: the hash, licence and origin of NAME.npz
places.py   where a name is looked for, in which order
resolve.py  from a name to its file, checked
store.py    the user's own folder
index.py    networks that can be fetched; fetch.py brings bytes, get.py a whole network

What needs the network itself is in cunet/net: named.py (add, describe, verify), card.py, terms.py.
"""
