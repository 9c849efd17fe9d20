import numpy as np
import pytest

from app.api.request_bodies import NPY, RAW
from app.api.response_bodies import as_bytes, in_parts


@pytest.mark.parametrize("kind", [RAW, NPY])
@pytest.mark.parametrize("parts", [1, 3])
def test_answers_packed_together_are_as_each_by_itself(kind: str, parts: int) -> None:
    numbers = np.random.default_rng(0).random((6, 4, 2), dtype=np.float32)
    alone = [as_bytes(part, kind, "tiny:1") for part in np.split(numbers, parts)]
    assert in_parts(numbers, kind, "tiny:1", parts) == alone
