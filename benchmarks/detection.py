"""Things in pictures: boxes on scenes that nobody has seen, beside boxes that look at no picture.

`digits` and `clothes` are scenes of 96 by 96 pixels: 1 to 5 handwritten digits or pieces of clothing of any size and
colour at any place of a photograph (scikit-learn's and scikit-image's), ten classes; the scenes to judge have
photographs and things of their own. `trees` are tiles of aerial photographs with boxes by people (deepforest), one
class. Each goes as an archive with COCO's boxes through the HTTP API and is learned with defaults alone. Printed is
COCO's average precision on the scenes to judge (the mean over overlaps from 0.5 to 0.95, and at 0.5), and what it is
for the mean box of each class and for the most frequent boxes; intervals are over draws of scenes and seeds.

    .venv/bin/python benchmarks/detection.py [--kinds digits clothes trees] [--pictures 400] [--draws 3]
"""

import argparse
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from evaluation import Rows, seconds, shown
from packages import pypi
from pictures import clothes, digits
from PIL import Image

from app.demo.service import Client, started

SIDE, TILE = 96, 300
TESTED = 4
"""One photograph, digit or tile of so many is for the scenes to judge."""
PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "grass",
    "gravel",
    "ihc",
    "motorcycle_left",
    "retina",
)
FIGURES = {"average_precision": "AP", "average_precision_50": "AP50", "f1": "F1"}
PLACES = {"train": 0.65, "validation": 0.1, "test": 0.25}


@dataclass(frozen=True)
class Scene:
    """A picture and what lies where in it."""

    pixels: Rows
    """[H, W, 3]"""
    boxes: list[tuple[str, list[int]]]
    """Class, and x, y, width and height."""


def photographs(cache: Path) -> list[Rows]:
    from sklearn.datasets import load_sample_images

    folder = pypi(cache, "scikit-image") / "skimage" / "data"
    files = [next(folder.glob(f"{name}.*")) for name in PHOTOGRAPHS]
    return [*load_sample_images().images, *(np.asarray(Image.open(file).convert("RGB")) for file in files)]


def pasted(things: tuple[Rows, Rows], pictures: int, draw: np.random.Generator, cache: Path) -> dict[str, list[Scene]]:
    """Scenes by split."""
    found: dict[str, list[Scene]] = {}
    photos, order = photographs(cache), draw.permutation(len(things[0]))
    sides = draw.permutation(len(photos)) % TESTED == 0  # photographs of the scenes to judge
    held = order[: len(order) // TESTED]
    for split, share in PLACES.items():
        judged = split == "test"
        own = [photo for photo, side in zip(photos, sides, strict=True) if side == judged]
        rows = held if judged else order[len(held) :]
        found[split] = [_scene(own, things, rows, draw) for _ in range(round(share * pictures))]
    return found


def _scene(photos: list[Rows], things: tuple[Rows, Rows], rows: Rows, draw: np.random.Generator) -> Scene:
    photo = photos[draw.integers(len(photos))]
    zoom = draw.uniform(1, min(photo.shape[:2]) / SIDE)
    size = int(SIDE * zoom)
    y, x = (int(draw.integers(0, side - size + 1)) for side in photo.shape[:2])
    picture = np.array(Image.fromarray(photo[y : y + size, x : x + size]).resize((SIDE, SIDE)), np.float32)
    boxes: list[tuple[str, list[int]]] = []
    taken = np.zeros((SIDE, SIDE), bool)
    for row in draw.choice(rows, int(draw.integers(1, 6))):
        pixels, label = things[0][row], int(things[1][row])
        ys, xs = (np.flatnonzero(pixels.max(axis) > 40) for axis in (1, 0))
        tight = pixels[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
        scale = draw.uniform(14, 40) / max(tight.shape)
        width, height = (max(3, round(scale * side)) for side in tight.shape[::-1])
        x, y = int(draw.integers(0, SIDE - width + 1)), int(draw.integers(0, SIDE - height + 1))
        if taken[y : y + height, x : x + width].mean() > 0.2:
            continue
        taken[y : y + height, x : x + width] = True
        ink = np.asarray(Image.fromarray(tight).resize((width, height)), np.float32)[..., None] / 255
        part = picture[y : y + height, x : x + width]
        part += ink * (draw.uniform(0, 255, 3) - part)
        boxes.append((str(label), [x, y, width, height]))
    return Scene(picture.round().astype(np.uint8), boxes)


def trees(pictures: int, draw: np.random.Generator, cache: Path) -> dict[str, list[Scene]]:
    """Tiles of the aerial photographs; neighbouring ones, in strips, are of one split."""
    found: dict[str, list[Scene]] = {split: [] for split in PLACES}
    for file in sorted((pypi(cache, "deepforest") / "deepforest" / "data").glob("*.xml")):
        photo = np.asarray(Image.open(file.with_suffix(".png")).convert("RGB"))
        boxes = [
            [int(float(each.findtext(f"bndbox/{key}", "0"))) for key in ("xmin", "ymin", "xmax", "ymax")]
            for each in ElementTree.parse(file).iter("object")
        ]
        tiles = [(y, x) for y in range(0, photo.shape[0], TILE) for x in range(0, photo.shape[1], TILE)]
        splits = draw.choice(list(PLACES), len(tiles), p=list(PLACES.values()))
        for (y, x), split in zip(tiles, splits, strict=True):
            found[str(split)].append(_tile(photo, boxes, y, x))
    return {split: [scene for scene in scenes if scene.boxes][:pictures] for split, scenes in found.items()}


def _tile(photo: Rows, boxes: list[list[int]], y: int, x: int) -> Scene:
    pixels = np.zeros((TILE, TILE, 3), np.uint8)
    part = photo[y : y + TILE, x : x + TILE]
    pixels[: part.shape[0], : part.shape[1]] = part
    inside = []
    for x0, y0, x1, y1 in boxes:
        cut = np.clip([x0 - x, y0 - y, x1 - x, y1 - y], 0, TILE).tolist()
        if (cut[2] - cut[0]) * (cut[3] - cut[1]) > (x1 - x0) * (y1 - y0) / 2:
            inside.append(("tree", [cut[0], cut[1], cut[2] - cut[0], cut[3] - cut[1]]))
    return Scene(pixels, inside)


def archive(scenes: dict[str, list[Scene]]) -> bytes:
    """A ZIP of the pictures in folders of their splits, and COCO's file."""
    held = io.BytesIO()
    names = sorted({name for each in scenes.values() for scene in each for name, _ in scene.boxes})
    told: dict[str, list[Any]] = {"images": [], "annotations": []}
    told["categories"] = [{"id": place, "name": name} for place, name in enumerate(names)]
    with zipfile.ZipFile(held, "w") as file:
        for split, each in scenes.items():
            for scene in each:
                number, buffer = len(told["images"]), io.BytesIO()
                Image.fromarray(scene.pixels).save(buffer, "PNG")
                file.writestr(f"{split}/{number}.png", buffer.getvalue())
                height, width = scene.pixels.shape[:2]
                entry = {"id": number, "file_name": f"{split}/{number}.png", "width": width, "height": height}
                told["images"].append(entry)
                for name, box in scene.boxes:
                    row = {"id": len(told["annotations"]), "image_id": number, "bbox": box}
                    told["annotations"].append({**row, "category_id": names.index(name)})
        file.writestr("annotations.json", json.dumps(told))
    return held.getvalue()


def learn(
    client: Client, kind: str, scenes: dict[str, list[Scene]], seed: int, request: dict[str, Any]
) -> dict[str, Any]:
    body = {"name": kind, "modality": "image", "cleaning": {"duplicates": "keep"}}
    dataset = client.dataset("scenes.zip", archive(scenes), body)
    asked = {"kind": "pretrain", "dataset": dataset, "name": kind, "objective": {"name": "detection"}, **request}
    asked["training"] = {"seed": seed, **request.get("training", {})}
    return client.train(f"{kind} {seed}", asked)


def judged(job: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The figures of the model and of what stands beside it."""
    every = {"rootstock": job["metrics"], **job["metrics"]["baselines"]}
    return {name: {key: round(each[key], 4) for key in FIGURES} for name, each in every.items()}


def main() -> None:
    makers: dict[str, Callable[[int, np.random.Generator, Path], dict[str, list[Scene]]]] = {
        "digits": lambda count, draw, cache: pasted(digits(cache), count, draw, cache),
        "clothes": lambda count, draw, cache: pasted(clothes(cache), count, draw, cache),
        "trees": trees,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=makers, default=list(makers))
    parser.add_argument("--pictures", type=int, default=400, help="scenes of a draw")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--request", type=json.loads, default={}, help="JSON to add to the job's request")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    with started() as client:
        for kind in arguments.kinds:
            jobs = []
            for seed in range(arguments.draws):
                scenes = makers[kind](arguments.pictures, np.random.default_rng(seed), arguments.cache)
                jobs.append(learn(client, kind, scenes, seed, arguments.request))
                print(f"{kind} {seed}: {judged(jobs[-1])}", flush=True)
            took = [seconds(job) for job in jobs]
            counts = ", ".join(f"{len(each)} {split}" for split, each in scenes.items())
            print(f"{kind}: {counts} scenes, {np.mean(took):.0f} s a job")
            every = [judged(job) for job in jobs]
            for name in every[0]:
                figures = {key: shown([each[name][key] for each in every]) for key in FIGURES}
                print(f"  {name:10}" + "".join(f" {FIGURES[key]} {figure:11}" for key, figure in figures.items()))


if __name__ == "__main__":
    main()
