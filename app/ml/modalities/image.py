"""Pictures as grids of pixels. What a pixel's number means is fixed: 0 to 255 as stored, 0 to 1 for a network.

Legend: `B` batch, `H`, `W` height and width, `C` channels.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from app.errors import EmptyInput, NonFinite, OutOfRange, WrongShape, WrongType
from app.json_words import told, told_kind
from app.ml.image.pictures import Pixels, decode_uri, encode_uri, measure_uri, recolour, resize
from app.ml.modalities.base import Fitted, Modality
from app.ml.modalities.parts.spread import Spread
from app.ml.tensors.shapes import Column, Layout, Shape, Tensors

FLATTEST = 1 / 255
"""Deviation of pixels below which a picture or a channel is taken as of one brightness."""


class Image(Modality):
    """Pictures of one size. Pixels are 0 to 255 as stored, never 0 to 1."""

    name: Literal["image"] = "image"
    """Pictures."""
    layout: ClassVar[Layout] = "grid"
    pretext: ClassVar[str] = "contrastive"  # its features tell classes apart far better than a code to rebuild from
    pretext_of_few: ClassVar[str | None] = "autoencoding"

    size: int | None = Field(None, ge=1, le=2048)
    """Height and width to which every picture is scaled, at training and in requests alike. Without one, the pictures
    keep the size they have in the dataset, and a request's must have it too, unless the dataset's were scaled."""
    channels: Literal[1, 3] | None = None
    """1 turns colours to gray, 3 repeats gray; without one, the dataset's."""
    normalisation: Literal["none", "per_image", "per_channel"] = "none"
    """`none` gives a network pixels from 0 to 1. `per_channel` gives every channel mean 0 and deviation 1 over the
    training pictures. `per_image` does so to every picture by itself, so that light and contrast play no part; what is
    rendered of it has the mean and the deviation that training pictures have on average."""

    def fit(self, columns: Iterable[Column]) -> "FittedImage":
        stored: tuple[int, ...] | None = None
        spread = Spread()
        for column in columns:
            if len(column):
                stored = stored or column.shape[1:]
                if self.normalisation != "none":
                    spread.add(_looks(recolour(column, self.channels or column.shape[3]), self.normalisation))
        if stored is None:
            raise OutOfRange("there are no training rows to learn the pictures' size from", param="dataset")
        height, width, channels = stored
        size = (self.size or height, self.size or width, self.channels or channels)
        if self.normalisation == "none":
            return FittedImage(self, size, (height, width))
        if self.normalisation == "per_channel":
            return FittedImage(self, size, (height, width), spread.mean.tolist(), spread.deviation.tolist())
        mean, deviation = spread.mean.tolist()  # what pictures have on average
        return FittedImage(self, size, (height, width), [mean], [deviation])

    def completed(self, facts: Mapping[str, Any]) -> Self:
        """Pictures that ingest scaled are scaled in requests too."""
        if self.size is not None or not facts.get("scaled"):
            return self
        return self.model_copy(update={"size": facts["shape"][0]})

    def expected(self, facts: Mapping[str, Any]) -> Shape:
        height, width, channels = facts["shape"]
        size = (self.channels or channels, self.size or height, self.size or width)
        return Shape("grid", size, bounded=self.normalisation == "none")

    def restore(self, state: dict[str, Any]) -> "FittedImage":
        height, width = state["stored"]
        size = (state["height"], state["width"], state["channels"])
        return FittedImage(self, size, (height, width), state.get("mean"), state.get("deviation"))


class FittedImage(Fitted):
    """Brings pictures to one size and colouring, and their pixels to 0…1 or to mean 0 and deviation 1."""

    settings: Image
    takes_arrays: ClassVar[bool] = True
    scales: ClassVar[bool] = True

    def __init__(
        self,
        settings: Image,
        size: tuple[int, int, int],
        stored: tuple[int, int],
        mean: Sequence[float] | None = None,
        deviation: Sequence[float] | None = None,
    ) -> None:
        """`mean` and `deviation` are of pixels from 0 to 1, one per channel or one for all; None for no scaling."""
        self.settings = settings
        self.height, self.width, self.channels = size
        self.shape = Shape("grid", (self.channels, self.height, self.width), bounded=mean is None)
        self._looks = {} if mean is None or deviation is None else {"mean": list(mean), "deviation": list(deviation)}
        self._mean, self._deviation = (
            torch.tensor(part)[:, None, None] for part in (mean or [0.0], deviation or [1.0])
        )
        self._deviation = self._deviation.clamp(min=FLATTEST)
        self._stored = stored
        """Height and width of the dataset's pictures, before any scaling."""

    def state(self) -> dict[str, Any]:
        size = {"height": self.height, "width": self.width, "channels": self.channels}
        return {**size, "stored": list(self._stored), **self._looks}

    def read(self, items: Any) -> Column:
        """One picture or a list of them, to uint8 [B, H, W, C].

        A picture is nested numbers or an array [H, W] or [H, W, C], a flat list of H · W · C numbers, or a
        `data:image/…;base64,…` URI, or a file's bytes. Numbers go from 0 to 255; fractions are rounded.
        """
        if isinstance(items, str | bytes):
            return self._decoded(items, "input")
        if not isinstance(items, list | tuple | np.ndarray):
            raise WrongType(f"input: expected a picture or a list of pictures, got {told_kind(items)}", param="input")
        if len(items) == 0:
            raise EmptyInput("input: is empty; give at least one picture", param="input")
        numbers = _numbers(items)
        if numbers is not None:
            alone = self._pictures(numbers[None])
            if alone is not None:
                return self._fitted(_pixels(alone, ["input"]))
            pictures = self._pictures(numbers)
            if pictures is not None:
                return self._fitted(_pixels(pictures, [f"input[{index}]" for index in range(len(pictures))]))
            raise WrongShape(f"input: has shape {list(numbers.shape)}; {self._expected()}", param="input")
        return np.concatenate([self._read_one(item, f"input[{index}]") for index, item in enumerate(items)])

    def encode(self, column: Column) -> Tensors:
        values = np.divide(self._fitted(column).transpose(0, 3, 1, 2), np.float32(255), dtype=np.float32, order="C")
        return {"values": self._normalised(torch.from_numpy(values))}

    def scaled(self, raw: Tensor) -> Tensor:
        """Of pictures [B, H, W, C] in the model's size and colouring."""
        return self._normalised(raw.permute(0, 3, 1, 2).float() / 255)

    def unscaled(self, values: Tensor) -> Tensor:
        """Pixels [B, H, W, C] from 0 to 255, with fractions."""
        return (values * self._deviation + self._mean).clamp(0, 1).permute(0, 2, 3, 1) * 255

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Of pixels [B, C, H, W] from 0 to 1."""
        if self.settings.normalisation == "per_image":
            flat = pixels.flatten(1)  # in graphs onnx2tf takes the mean of all axes but the first for that of others
            deviation = flat.std(1, correction=0, keepdim=True).clamp(min=FLATTEST)
            return ((flat - flat.mean(1, keepdim=True)) / deviation).view_as(pixels)
        return pixels if self.shape.bounded else (pixels - self._mean) / self._deviation

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Nested whole numbers 0…255, [H][W] for gray and [H][W][C] for colour, or PNG `data:` URIs."""
        scaled = (values.detach().float().cpu() * self._deviation + self._mean).clamp(0, 1) * 255
        pixels: Pixels = scaled.round().byte().permute(0, 2, 3, 1).numpy()
        if binary:
            return [encode_uri(np.ascontiguousarray(picture)) for picture in pixels]
        return list((pixels[..., 0] if self.channels == 1 else pixels).tolist())

    def sizes(self, items: Any) -> list[tuple[int, int]] | None:
        """In pixels, of upright pictures; of rows of numbers that came without items one, the model's own."""
        if items is None:
            return [(self.height, self.width)]
        if isinstance(items, str | bytes):
            return [measure_uri(items, "input")[:2]]
        numbers = _numbers(items)
        if numbers is None:
            return [size for item in items for size in self.sizes(item) or ()]
        alone = self._pictures(numbers[None])
        pictures = self._pictures(numbers) if alone is None else alone
        assert pictures is not None, "these items were read before; this is a bug"
        return [(pictures.shape[1], pictures.shape[2])] * len(pictures)

    def _read_one(self, item: Any, name: str) -> Pixels:
        """[1, H, W, C]"""
        if isinstance(item, str | bytes):
            return self._decoded(item, name)
        if not isinstance(item, list | tuple | np.ndarray):
            raise WrongType(f"{name}: expected a picture, got {told(item, 60)}; {self._expected()}", param=name)
        numbers = _numbers(item)
        if numbers is None:
            raise WrongType(f"{name}: is ragged or holds something else than numbers; {self._expected()}", param=name)
        picture = self._pictures(numbers[None])
        if picture is None:
            raise WrongShape(f"{name}: has shape {list(numbers.shape)}; {self._expected()}", param=name)
        return self._fitted(_pixels(picture, [name]))

    def _decoded(self, uri: str | bytes, name: str) -> Pixels:
        """[1, H, W, C]; a picture of another size is scaled only where the dataset's are, too."""
        pixels = decode_uri(uri, name, (self.height, self.width) if self.settings.size is not None else None)
        if self.settings.size is None and pixels.shape[:2] != self._stored:
            raise WrongShape(
                f"{name}: the picture is {pixels.shape[0]} high and {pixels.shape[1]} wide; {self._expected()}",
                param=name,
            )
        return self._fitted(pixels[None])

    def _pictures(self, numbers: Column) -> Column | None:
        """`numbers` as [B, H, W, C] when all are pictures that this model can read."""
        for height, width in {(self.height, self.width): None, self._stored: None}:
            if numbers.shape[1:] == (height * width * self.channels,):
                return numbers.reshape(-1, height, width, self.channels)
            if numbers.shape[1:] == (height, width):
                return numbers[..., None]
            if numbers.shape[1:] in ((height, width, 1), (height, width, 3)):
                return numbers
        return None

    def _fitted(self, pixels: Pixels) -> Pixels:
        return resize(recolour(pixels, self.channels), self.height, self.width)

    def _expected(self) -> str:
        size = f"[{self.height}, {self.width}]"
        return f"the model reads pictures of {size}, with or without channels, and numbers from 0 to 255"


def _looks(pixels: Pixels, normalisation: str) -> Column:
    """Of pictures [B, H, W, C] from 0 to 1 every pixel [B * H * W, C], or every picture's mean and deviation [B, 2]."""
    if normalisation == "per_channel":
        return pixels.reshape(-1, pixels.shape[3]).astype(np.float32) / 255
    flat = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
    return np.stack([flat.mean(axis=1), flat.std(axis=1)], axis=1)


def _numbers(items: Any) -> Column | None:
    """Nested numbers as an array; None when they are ragged or no numbers."""
    try:
        array = np.asarray(items)
    except (ValueError, OverflowError):
        return None
    return array if array.dtype.kind in "fiu" else None


def _pixels(pictures: Column, names: Sequence[str]) -> Pixels:
    """Checks numbers [B, H, W, C]; `names` are what errors call the items."""
    if pictures.dtype == np.uint8:
        return pictures
    flat = pictures.reshape(len(pictures), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)  # NaN when there is one
    for index in np.flatnonzero(~((low >= 0) & (high <= 255))).tolist():
        name, worst = names[index], low[index] if not low[index] >= 0 else high[index]
        if not np.isfinite(worst):
            raise NonFinite(f"{name}: holds a value that is no finite number; pixels go from 0 to 255", param=name)
        raise OutOfRange(f"{name}: holds {worst:g}; pixels go from 0 to 255", param=name)
    whole = np.rint(flat)
    for index in np.flatnonzero((high <= 1) & (whole != flat).any(axis=1)).tolist():
        name = names[index]
        raise OutOfRange(f"{name}: pixels look scaled to 0…1; they go from 0 to 255, so multiply by 255", param=name)
    return whole.astype(np.uint8).reshape(pictures.shape)
