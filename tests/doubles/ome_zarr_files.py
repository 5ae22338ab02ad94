"""OME-Zarr files as zarr itself writes them, with metadata by the letter of the specification."""

import json

import zarr

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def metadata(axes, version="0.5", scale=None, units=None, paths=("0",), **entries):
    """The attributes of an image group, of which a test may change any part."""
    scale, units = scale or [1.0] * len(axes), units or [None] * len(axes)
    named = [
        {"name": axis, "type": TYPES.get(axis, "space")} | ({"unit": unit} if unit else {})
        for axis, unit in zip(axes, units, strict=True)
    ]
    datasets = [
        {
            "path": path,
            "coordinateTransformations": [
                {
                    "type": "scale",
                    "scale": [
                        s * 2**n if a in "yx" else s for a, s in zip(axes, scale, strict=True)
                    ],
                }
            ],
        }
        for n, path in enumerate(paths)
    ]
    one = {"axes": named, "datasets": datasets}
    if version == "0.5":
        return {"ome": {"version": version, "multiscales": [one], **entries}}
    return {"multiscales": [{"version": version, **one}], **entries}


def image(folder, data, axes, version="0.5", attributes=None, scale=None, units=None, **options):
    """An image of one level with these values; options of zarr.create_array."""
    v3 = version == "0.5"
    group(folder, attributes or metadata(axes, version, scale, units), version)
    options = {"chunks": tuple(min(16, n) for n in data.shape)} | options
    if v3:
        options = {"dimension_names": list(axes)} | options
    array = zarr.create_array(
        str(folder / "0"), shape=data.shape, dtype=data.dtype, zarr_format=3 if v3 else 2, **options
    )
    array[...] = data
    return folder


def group(folder, attributes, version="0.5"):
    """A group with these attributes, in place of those that it has."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == "0.5":
        document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (folder / "zarr.json").write_text(json.dumps(document))
    else:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(attributes))
    return folder
