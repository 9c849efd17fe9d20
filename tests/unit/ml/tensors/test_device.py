import pytest
import torch

from app.errors import DoesNotFit
from app.ml.tensors.device import chosen


def test_a_gpu_that_is_not_there_is_named_with_what_is() -> None:
    there = torch.cuda.device_count()
    with pytest.raises(
        DoesNotFit, match=rf"^ROOTSTOCK_DEVICE is 'cuda:{there}', and torch sees .*auto and cpu work anywhere$"
    ):
        chosen(f"cuda:{there}")


def test_what_is_there_is_taken() -> None:
    assert chosen("cpu") == torch.device("cpu")
    assert chosen("auto").type == ("cuda" if torch.cuda.device_count() else "cpu")
