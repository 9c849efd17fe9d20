import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from app.errors import EmptyInput, NonFinite, OutOfRange, RootstockError, WrongShape, WrongType
from app.ml.modalities.image import FittedImage, Image
from app.ml.tensors.shapes import Column

H, W = 6, 8


def pictures(count: int = 5, channels: int = 1, height: int = H, width: int = W) -> Column:
    random = np.random.default_rng(0)
    return random.integers(2, 256, (count, height, width, channels), dtype=np.uint8)


def gray() -> FittedImage:
    return Image().fit([pictures()])


def colour() -> FittedImage:
    return Image().fit([pictures(channels=3)])


def uri(pixels: Column, format: str = "PNG") -> str:
    held = io.BytesIO()
    Pillow.fromarray(pixels.squeeze()).save(held, format)
    return f"data:image/{format.lower()};base64,{base64.b64encode(held.getvalue()).decode()}"


def test_scales_pixels_to_zero_and_one_channels_first() -> None:
    learned = colour()
    column = np.zeros((1, H, W, 3), dtype=np.uint8)
    column[0, 2, 3, 1] = 255
    values = learned.encode(column)["values"]
    assert learned.shape.size == (3, H, W)
    assert values.is_contiguous()
    assert values.sum() == 1.0
    assert values[0, 1, 2, 3] == 1.0


@pytest.mark.parametrize(
    "item",
    [
        pictures(1)[0, :, :, 0].tolist(),
        pictures(1)[0].tolist(),
        pictures(1)[0].ravel().tolist(),
        pictures(1)[0],
        pictures(1)[0, :, :, 0].astype(np.float64) + 0.2,
        uri(pictures(1)[0]),
        uri(pictures(1)[0], "BMP"),
    ],
)
def test_reads_one_picture_or_a_list_of_it_in_every_form(item: object) -> None:
    assert np.array_equal(gray().read(item), pictures(1))
    assert np.array_equal(gray().read([item, item]), np.repeat(pictures(1), 2, axis=0))


def test_reads_a_list_of_mixed_forms() -> None:
    column = pictures(3)
    items = [uri(column[0]), column[1].tolist(), column[2].ravel().tolist()]
    assert np.array_equal(gray().read(items), column)


def test_reads_arrays_of_many() -> None:
    column = pictures(5, 3)
    assert np.array_equal(colour().read(column), column)
    assert np.array_equal(colour().read(column.reshape(5, -1)), column)
    assert np.array_equal(gray().read(pictures(5)[..., 0]), pictures(5))


def test_colours_become_gray_and_gray_becomes_colours() -> None:
    red = np.zeros((H, W, 3), dtype=np.uint8)
    red[:, :, 0] = 255
    assert (gray().read(uri(red)) == 76).all()
    assert (gray().read(red.tolist()) == 76).all()
    single = pictures(1)
    assert np.array_equal(colour().read(uri(single[0])), np.repeat(single, 3, axis=3))
    assert np.array_equal(Image(channels=1).fit([pictures(channels=3)]).read(single), single)
    assert Image(channels=3).fit([pictures()]).encode(pictures())["values"].shape == (5, 3, H, W)


@pytest.mark.parametrize(
    ("items", "error", "param", "message"),
    [
        (np.zeros((7, 7)), WrongShape, "input", r"shape \[7, 7\]; the model reads pictures of \[6, 8\]"),
        ([pictures(1)[0].tolist(), np.zeros((7, 7)).tolist()], WrongShape, "input[1]", r"shape \[7, 7\].*\[6, 8\]"),
        ([[1, 2, 3]], WrongShape, "input", r"shape \[1, 3\]"),
        ([[[1, 2], [3]]], WrongType, "input[0]", "ragged"),
        ([[["a", 2], [3, 4]]], WrongType, "input[0]", "something else than numbers"),
        (np.full((H, W), 256.0), OutOfRange, "input", "holds 256; pixels go from 0 to 255"),
        (np.full((2, H, W), -1), OutOfRange, "input[0]", "holds -1"),
        (np.full((H, W), 0.5), OutOfRange, "input", "multiply by 255"),
        (np.full((2, H, W), np.nan), NonFinite, "input[0]", "no finite number"),
        ([], EmptyInput, "input", "is empty"),
        (7, WrongType, "input", "got a number"),
        ([None], WrongType, "input[0]", "expected a picture, got null"),
        (uri(pictures(1, height=9, width=9)[0]), WrongShape, "input", "9 high and 9 wide"),
    ],
)
def test_names_the_item_that_is_wrong(items: object, error: type[RootstockError], param: str, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        gray().read(items)
    assert type(caught.value) is error
    assert caught.value.param == param


def test_black_and_white_of_zero_and_one_is_taken_as_it_is() -> None:
    assert gray().read(np.ones((H, W))).max() == 1


def test_a_size_scales_at_training_and_in_requests_alike() -> None:
    raw = pictures(3, height=12, width=10)
    learned = Image(size=6).fit([raw])
    assert learned.shape.size == (1, 6, 6)
    trained = learned.encode(raw)["values"]
    for items in (raw, raw.tolist(), raw.reshape(3, -1).tolist(), [uri(picture) for picture in raw]):
        assert torch.equal(learned.encode(learned.read(items))["values"], trained)
    small = pictures(1, height=6, width=6)
    assert np.array_equal(learned.read(small), small)
    assert learned.read(uri(pictures(1, height=31, width=17)[0])).shape == (1, 6, 6, 1)


def test_sizes_are_those_of_the_pictures_that_were_sent() -> None:
    fitted = Image(size=4).fit([pictures()])
    wide = uri(pictures(1, height=3, width=20)[0, :, :, 0])
    one = pictures(1)[0, :, :, 0]
    assert fitted.sizes(wide) == [(3, 20)]
    assert fitted.sizes([wide, one.tolist(), np.zeros((4, 4), np.uint8)]) == [(3, 20), (H, W), (4, 4)]
    assert fitted.sizes(pictures(3)) == [(H, W)] * 3
    assert fitted.sizes(np.zeros((2, 16))) == [(4, 4)] * 2
    assert fitted.sizes(one.flatten().tolist()) == [(H, W)]
    assert fitted.sizes(None) == [(4, 4)]
    turned = io.BytesIO()
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("L", (20, 10)).save(turned, "JPEG", exif=exif)
    assert fitted.sizes(turned.getvalue()) == [(20, 10)]


def test_renders_whole_numbers_or_png() -> None:
    values = torch.tensor([[[[0.0, 1.0], [0.5, 2.0]]]])
    learned = Image().fit([pictures(height=2, width=2)])
    assert learned.render(values) == [[[0, 255], [128, 255]]]
    (png,) = learned.render(values, binary=True)
    assert png.startswith("data:image/png;base64,")
    assert learned.read(png)[0, :, :, 0].tolist() == [[0, 255], [128, 255]]


def test_no_rows_cannot_be_learned_from() -> None:
    with pytest.raises(OutOfRange, match="no training rows"):
        Image().fit([pictures(0)])


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_standardised_over_the_training_pictures_and_rendered_back(channels: int) -> None:
    column = pictures(40, channels)
    column[..., 0] //= 2
    learned = Image(normalisation="per_channel").fit([column[:7], column[7:]])
    values = learned.encode(column)["values"]

    torch.testing.assert_close(values.mean((0, 2, 3)), torch.zeros(channels), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std((0, 2, 3)), torch.ones(channels), atol=1e-3, rtol=0)
    assert not learned.shape.bounded
    restored = learned.settings.restore(json.loads(json.dumps(learned.state())))
    assert np.array_equal(restored.read(restored.render(values)), column)


def test_light_and_contrast_of_a_picture_play_no_part() -> None:
    column = pictures(2)
    column[1] = column[0] // 2 + 40
    column[0, 0, 0] = column[0, 0, 1]
    learned = Image(normalisation="per_image").fit([column])
    values = learned.encode(column)["values"]

    assert values.mean((1, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(values[0, 0, 1:], values[1, 0, 1:], atol=0.05, rtol=0)
    shown = np.array(learned.render(values)[0])  # with the light of the training pictures
    assert abs(shown.mean() - column.mean()) < 3
    flat = learned.encode(np.full((1, H, W, 1), 9, np.uint8))["values"]
    assert torch.equal(flat, torch.zeros_like(flat))
