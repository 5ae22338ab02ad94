"""The public names as a user's program writes them: the type checker reads it, a test runs it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import tifffile

import cunet


def a_step_by_hand() -> cunet.UNet:
    net = assert_type(cunet.UNet(width=1, depth=1, dropout=0.5, variant="paper"), cunet.UNet)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 20, 20, 1)).astype("float32")
    logits, backward = net(x, rng=rng)
    labels = rng.integers(0, 2, logits.shape[:3])
    loss, dlogits = cunet.softmax_loss(logits, labels, np.ones(labels.shape, "float32"))
    assert_type(loss, float)
    backward(dlogits)
    rate = cunet.LearningRate(1e-3, policy="cosine", max_iter=10)
    assert_type(rate(0), float)
    for solver in (
        cunet.SGD(net.parameters(), lr=rate, momentum=0.99),
        cunet.Adam(net.parameters()),
    ):
        assert_type(solver.step(), float)
    return net


def a_file_and_an_image(net: cunet.UNet, folder: Path) -> np.ndarray:
    assert_type(cunet.save(folder / "net.npz", net), None)
    same = assert_type(cunet.load(folder / "net.npz"), cunet.UNet)
    image = np.random.default_rng(1).standard_normal((30, 40))
    probability = assert_type(cunet.segment(image, same, tile=20, average="flips"), np.ndarray)
    cunet.segment(image, same, tile=20, pixel_size=None, rescale=False, invert=True)
    part = cunet.segment_window(image, same, (0, 10), columns=(5, 40), tile=20)
    assert_type(part, np.ndarray)
    seams = cunet.seams(image, same, tile=24, limit=1e-3)
    assert_type(seams.exact.largest, float)
    assert seams.passed and assert_type(seams.save(folder / "seams.png"), None) is None
    tifffile.imwrite(folder / "v.tif", image.astype("float32"))
    volume = cunet.segment_volume(folder / "v.tif", folder / "o.ome.zarr", folder / "net.npz")
    assert_type(volume, dict[str, Any])
    exported = assert_type(cunet.export(same, folder / "net.onnx", mirror=True), dict[str, Any])
    assert exported["bytes"] == (folder / "net.onnx").stat().st_size
    verified = cunet.verify_export(folder / "net.onnx", folder / "net.npz", image=image, tiles=1)
    assert_type(verified, dict[str, Any])
    found = cunet.objects(probability, image, pixel_size=0.5, min_area=3)
    labels, table = assert_type(found, tuple[np.ndarray, dict[str, np.ndarray]])
    assert_type(table["area_um2"], np.ndarray)
    assert len(table["label"]) == labels.max()
    return probability


def a_pass_looked_at(net: cunet.UNet, image: np.ndarray, folder: Path) -> float:
    traced = cunet.trace(net, image, pixel=(3, 5), truth=(image > 0).astype("uint8"), lr=1e-2)
    assert_type(traced["contract0.conv1"].gradient, np.ndarray)
    assert_type(traced.document(), dict[str, Any])
    assert_type(traced.save(folder / "trace.html"), None)
    return assert_type(traced.loss, float)


def a_network_of_another_program(file: Path) -> cunet.UNet:
    assert_type(cunet.import_network(file, white=65535), cunet.UNet)
    return cunet.import_network(file)


def a_training(data: Path) -> list[float]:
    config = cunet.Config(data=str(data), width=1, depth=1, steps=2, seed=0)
    assert_type(cunet.Config(data=str(data), from_model="bundled"), cunet.Config)
    records: Iterator[dict[str, Any]] = cunet.train(config)
    return [record["loss"] for record in records]


def arrays_to_a_network(images: list[np.ndarray], labels: list[np.ndarray]) -> np.ndarray:
    net, run = cunet.fit(
        images, labels, meaning="classes", held_out=[0], width=1, depth=1, tile=20, steps=2
    )
    assert_type(net, cunet.UNet)
    print(run, run.best, run.folder, [record["loss"] for record in run.records])
    return cunet.segment(images[0], net, progress=lambda done, rows: None)


def arrays_of_ones_own(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    labels = np.zeros((40, 40), np.uint8)
    labels[8:20, 8:30] = 1
    image = 100 * labels + rng.random((40, 40))
    maps = assert_type(cunet.weight_map(labels, form="paper"), np.ndarray)
    sample = cunet.augment(image, labels, maps, seed=3)
    assert len(sample) == 3
    pixels = cunet.evaluate_pixels(image / 101, labels)
    scores = cunet.evaluate_isbi(image / 101, labels)
    objects = cunet.evaluate_objects(labels, labels)
    return {"pixels": pixels, "isbi": scores, "objects": objects}


def files_and_runs(image: Path, result: Path, truth: Path, data: Path, run: Path) -> None:
    assert_type(cunet.read_image(image), np.ndarray)
    cells: dict[str, Any] = cunet.evaluate_ctc(result, truth)
    folds: dict[str, Any] = cunet.crossval(data, 5, seeds=2, seeds_of="first", preset="cpu")
    page: Path = cunet.report(run)
    both = cunet.report([run, page.parent.parent / "other"], out="compare.html", overwrite=True)
    claims: Path = cunet.paper(run, run / "paper.html", overwrite=True)
    print(cells, folds, page, claims, assert_type(both, Path))


def a_lesson() -> str:
    shown = cunet.lesson("conv")
    assert_type(shown.number, int)
    assert cunet.lesson(shown.number).title == shown.title
    return assert_type(str(cunet.lesson(shown.name, answer=True)), str)


def an_error() -> str:
    cunet.set_threads(1)
    try:
        cunet.UNet(width=0)
    except cunet.CunetError as error:
        return str(error)
    return assert_type(cunet.__version__, str)
