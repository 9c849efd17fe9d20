"""The shortcut is principal component analysis, in and out, with codes of deviation 1 on average."""

import numpy as np
import torch

from app.ml.decomposition.components import Shortcut
from app.ml.tensors.shapes import Shape


def items() -> torch.Tensor:
    draw = np.random.default_rng(0)
    return torch.from_numpy((draw.normal(size=(300, 6)) @ draw.normal(size=(6, 6)) * 5 + 20).astype(np.float32))


def test_as_wide_as_the_items_it_gives_them_back() -> None:
    values = items()
    shortcut = Shortcut(Shape("vector", (6,)), 6)
    shortcut.fill(lambda: iter(values.view(3, 100, 6)))
    torch.testing.assert_close(shortcut.back(shortcut(values)), values, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(shortcut(values).std(0, correction=0).mean(), torch.tensor(1.0), rtol=1e-3, atol=0)


def test_items_that_are_all_alike_have_a_code_of_zero() -> None:
    values = torch.full((20, 2, 3), 7.0)
    shortcut = Shortcut(Shape("grid", (2, 3)), 2)
    shortcut.fill(lambda: iter([values]))
    assert not shortcut(values).any()
    torch.testing.assert_close(shortcut.back(shortcut(values)), values)
