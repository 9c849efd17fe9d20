"""Learns to squeeze an item through a narrow code and to draw it again from there (Hinton & Salakhutdinov 2006).

Legend: `B` batch, `D` width of the encoder's features, `E` width of the code, `L` tokens, `V` vocabulary.
"""

import math
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn

from app.ml.layers import linear
from app.ml.modalities.base import Shape, Tensors
from app.ml.objectives.base import Batch, Data, Loss, Objective, ObjectiveSettings, Role, RoleNeeds
from app.ml.rebuilding import drawing, errors, measures, rendered

WIDEST = 64
"""Width of the code beyond which a default does not go."""
WIDEST_OF_TEXT = 256


class Autoencoding(ObjectiveSettings):
    """Compress every row into a short code and rebuild it; learns from rows without labels."""

    name: Literal["autoencoding"] = "autoencoding"
    """Compress and rebuild."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True)
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "reconstruct"})
    keeps_dimensions: ClassVar[bool] = True
    tells_words: ClassVar[bool] = True

    def default_encoder(self, shape: Shape) -> tuple[str, str]:
        return flat_encoder(shape)

    def default_dimensions(self, data: Data) -> int | None:
        return narrow(data.shape)

    def build(self, roles: Mapping[str, Role]) -> "Autoencoder":
        return Autoencoder(roles["input"])


class Autoencoder(Objective):
    """An encoder, a linear bottleneck and the encoder's mirror image."""

    def __init__(self, role: Role) -> None:
        super().__init__()
        assert role.encoder is not None
        encoder, shape = role.encoder, role.modality.shape
        self.code = role.dimensions or encoder.width
        self.encoders = nn.ModuleDict({"input": encoder})
        self.bottleneck = nn.Identity() if self.code == encoder.width else linear(encoder.width, self.code)
        self.decoder = encoder.decoder(shape, self.code)
        self.shape = shape

    def embed(self, inputs: Tensors) -> Tensor:
        code: Tensor = self.bottleneck(self.encoders["input"](inputs).pooled)  # [B, D] -> [B, E]
        return code

    def draw(self, inputs: Tensors) -> Tensor:
        """[B, *shape.size], in the unit of the scaled input; of tokens scores [B, L, V]."""
        return drawing(self.decoder, self.embed(inputs), inputs, self.shape)

    def reconstruct(self, inputs: Tensors) -> Tensor:
        return rendered(self.draw(inputs), inputs)

    def loss(self, batch: Batch) -> Loss:
        """Sum over the items of their mean error, and the number of items."""
        inputs = batch.roles["input"]
        each = errors(self.draw(self.corrupt(batch)), inputs)
        return Loss(each.sum(), len(each))

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`mse`; of tokens `perplexity` and `token_accuracy`."""
        return measures((self.draw(batch.roles["input"]), batch.roles["input"], None) for batch in batches)

    def corrupt(self, batch: Batch) -> Tensors:
        """What the encoder sees of a batch while learning: here, the batch itself."""
        return batch.roles["input"]


def narrow(shape: Shape) -> int | None:
    """Half as many numbers as the item has, up to `WIDEST`: narrow enough that copying the item is impossible."""
    if shape.layout == "tokens":  # a word is more than a number
        return WIDEST_OF_TEXT
    return min(WIDEST, math.ceil(shape.count / 2))


def flat_encoder(shape: Shape) -> tuple[str, str]:
    """The encoder for a whole item to be drawn again from one code."""
    if shape.layout == "tokens":
        return "rnn", "words come one after the other"
    if shape.layout == "grid" and max(shape.size[1:]) > 32:
        return "cnn", "pictures beyond 32 pixels have too many numbers for full connections"
    return "mlp", "every value has to be drawn again from one code, whose layers see all places at once"
