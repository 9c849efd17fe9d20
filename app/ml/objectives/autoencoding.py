"""Learns to squeeze an item through a narrow code and to draw it again from there (Hinton & Salakhutdinov 2006).

Legend: `B` batch, `D` width of the encoder's features, `E` width of the code, `L` tokens, `V` vocabulary.
"""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from app.errors import DoesNotFit
from app.ml.decomposition.components import EXACT, Shortcut
from app.ml.encoders.base import Encoders
from app.ml.networks.descent import POSSIBLE, Descent
from app.ml.networks.layers import linear, silence
from app.ml.networks.rectified import Chain
from app.ml.networks.team import Team
from app.ml.objectives.base import Comparison, Objective, ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.parts.codes import flat_encoder, narrow
from app.ml.objectives.parts.distances import displacements
from app.ml.objectives.parts.rebuilding import bounded, drawing, measures, misses, rendered
from app.ml.objectives.parts.squares import mean_squares
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.random_numbers import normal
from app.ml.tensors.shapes import Layout, Shape, Tensors

USUAL_NOISE = 0.1
FEW_ROWS = 1200
"""Training rows of a table below which distances are to be kept by its code."""
USUAL_STRESS = 1.0
TELLING = 0.02
"""Weight of what features beside components miss of these. Else they would forget what the components tell already, and
a graft, which reads features alone, knew items by their noise."""


class Autoencoding(ObjectiveSettings):
    """Compress every row into a short code and rebuild it; learns from rows without labels."""

    name: Literal["autoencoding"] = "autoencoding"
    """Compress and rebuild."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True)
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "reconstruct"})
    keeps_dimensions: ClassVar[bool] = True
    scores_vocabulary: ClassVar[bool] = True
    min_selection_rows: ClassVar[int] = 10

    residual: bool | None = None
    """Add the network to the principal components of the code's width, so that learning begins with their code and
    their drawing; few rows and many are then served alike. By default it is so for rows of numbers and small pictures,
    where the network is not named either. Of numbers without bounds, the components themselves are what is published
    where no step was better by the validation rows."""
    code_noise: float | None = Field(None, ge=0, le=10)
    """Deviation of the noise that training adds to the numbers of a code, so that alike items get codes that lie near
    each other. By default 0.1 with `residual`, where a code's numbers have a deviation of about 1, and 0 without."""
    stress: float | None = Field(None, ge=0, le=1000)
    """Weight of the stress of a batch's codes (Kruskal 1964) beside the squared error of the rows: by how much two
    codes, in the unit of the rows, lie nearer to each other or farther apart than their rows do. By default 1 with
    `residual` for fewer than 1,200 training rows of numbers without bounds, which alone teach too little of what
    belongs together, and 0 for more of them and for pictures."""
    shrinkage: float | None = Field(None, ge=0, le=1000)
    """With `residual`, weight of the squares by which a code's numbers leave the principal components, beside the
    squared error of the row: with 30, neighbours are those of the components. By default 0."""

    def check(self, layouts: Mapping[str, Layout]) -> None:
        if self.residual and layouts["input"] == "tokens":
            raise DoesNotFit(
                "objective.residual: text has no principal components; leave it out", param="objective.residual"
            )
        if self.shrinkage and (self.residual is False or layouts["input"] == "tokens"):
            raise DoesNotFit(
                f"objective.shrinkage: {self.shrinkage:g} asked, and without residual there are no principal "
                "components to hold the code to; leave one of the two out",
                param="objective.shrinkage",
            )
        if self.stress and layouts["input"] == "tokens":
            raise DoesNotFit(
                "objective.stress: texts have no distances in numbers; leave it out", param="objective.stress"
            )

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return flat_encoder(shape)

    def default_dimensions(self, data: TrainingData) -> int | None:
        return narrow(data.shape)

    def default_settings(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        small = data.shape.layout == "grid" and data.shape.count <= EXACT
        usual = (small or data.shape.layout == "vector") and not data.named
        residual = usual or bool(self.shrinkage) if self.residual is None else self.residual
        noise = (USUAL_NOISE if residual else 0.0) if self.code_noise is None else self.code_noise
        few = residual and data.rows < FEW_ROWS and not data.shape.bounded
        stress = (USUAL_STRESS if few and not self.shrinkage else 0.0) if self.stress is None else self.stress
        reason = f"begins as principal components of {data.rows:,} rows" if residual else "the network alone"
        shrinkage = self.shrinkage or 0.0
        return {"residual": residual, "code_noise": noise, "stress": stress, "shrinkage": shrinkage}, reason

    def build(self, roles: Mapping[str, Role]) -> "Autoencoder":
        built = partial(Spaced, stress=self.stress) if self.stress else Autoencoder
        return built(
            roles["input"],
            residual=bool(self.residual),
            noise=self.code_noise or 0.0,
            shrinkage=self.shrinkage or 0.0,
        )


class Autoencoder(Objective):
    """An encoder, a linear bottleneck and the encoder's mirror image.

    If `residual`, principal components are a way past them: into the code, and out of it for values without bounds. The
    features then learn to tell these, too, by directions `telling` [D, E] that stay as they were drawn.
    """

    telling: Tensor

    def __init__(self, role: Role, *, residual: bool = False, noise: float = 0.0, shrinkage: float = 0.0) -> None:
        super().__init__()
        assert role.encoder is not None
        encoder, shape = role.encoder, role.modality.shape
        self.code = role.dimensions or encoder.width
        self.encoders = Encoders({"input": encoder})
        self.bottleneck = nn.Identity() if self.code == encoder.width else linear(encoder.width, self.code)
        self.decoder = encoder.decoder(shape, self.code)
        self.shape, self.code_noise, self.shrinkage = shape, noise, shrinkage
        narrows = self.code < min(encoder.width, shape.count)  # else there is nothing to learn beside a copy
        self.shortcut = Shortcut(shape, self.code) if residual and narrows else None
        if self.shortcut is not None:
            drawn = torch.randn(encoder.width, self.code, generator=torch.Generator().manual_seed(0))
            self.register_buffer("telling", drawn / math.sqrt(encoder.width), persistent=False)
        self.straight = self.shortcut is None and not noise and shape.layout != "tokens"
        """True where layers are all that lies between an item and its drawing while learning."""

    @torch.no_grad()
    def begin(self, stream: Stream) -> None:
        if self.shortcut is not None:
            self.shortcut.fill(lambda: (batch.roles["input"]["values"] for batch in stream()))
            silence(self.bottleneck)
            if not self.shape.bounded:
                silence(self.decoder)

    @property
    def begins_solved(self) -> bool:
        return self.shortcut is not None and not self.shape.bounded

    def embed(self, inputs: Tensors) -> Tensor:
        code: Tensor = self.bottleneck(self.encoders["input"].pooled(inputs))  # [B, D] -> [B, E]
        return code if self.shortcut is None else code + self.shortcut(inputs["values"])

    def draw(self, inputs: Tensors) -> Tensor:
        """[B, *shape.size], in the unit of the scaled input; of tokens scores [B, L, V]."""
        return bounded(self.drawn_from(self.embed(inputs), inputs), self.shape)

    def drawn_from(self, code: Tensor, inputs: Tensors) -> Tensor:
        """What `draw` makes of codes [B, E], before it is bounded."""
        drawn = drawing(self.decoder, code, inputs, self.shape)
        return drawn if self.shortcut is None or self.shape.bounded else drawn + self.shortcut.back(code)

    def reconstruct(self, inputs: Tensors) -> Tensor:
        return rendered(self.draw(inputs), inputs)

    def chances(self, batch: Batch) -> Tensors:
        noisy = self.code_noise and self.training
        return {"code": normal(batch.rows, batch.epoch, self.code)} if noisy else {}

    def loss(self, batch: Batch) -> Loss:
        """Sum over the items of their mean error, and the number of items."""
        if self.straight:
            seen = self.corrupt(batch)
            drawn = self.encoders["input"].redrawn(seen, self.bottleneck, self.decoder)
            each = misses(drawn.float(), batch.roles["input"], self.shape)
        else:
            each, _ = self.missed(batch)
        return Loss(each.sum(), len(each), self.measured(each))

    def missed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What an item's drawing, and while learning its code, is charged with [B]; and the codes [B, E]."""
        inputs, seen = batch.roles["input"], self.corrupt(batch)
        features = self.encoders["input"].pooled(seen)
        components = None if self.shortcut is None else self.shortcut(seen["values"])
        code = self.bottleneck(features) if components is None else self.bottleneck(features) + components
        drawn = code
        if self.code_noise and self.training:
            drawn = code + self.code_noise * self.drawn(batch)["code"].to(code)
        each = misses(self.drawn_from(drawn, inputs), inputs, self.shape)
        if self.shortcut is not None and components is not None and self.training:
            untold = mean_squares(features @ self.telling, components) * self.shortcut.scale.square()
            each = each + TELLING * self.code / self.shape.count * untold  # as an item's own errors are counted
            if self.shrinkage:  # how far codes are from the components
                each = each + self.shrinkage * mean_squares(code, components)
        return each, code

    def measured(self, each: Tensor) -> Tensors:
        """Of errors [B] of items, in evaluation mode, the part of a loss that is their `mse`; nothing of tokens."""
        return {} if self.training or self.shape.layout == "tokens" else {"mse": each.sum().detach()}

    @property
    def divides(self) -> bool:
        return POSSIBLE and self.straight and self._chain() is not None

    def descent(self, team: Team) -> Descent:
        chain = self._chain()
        assert chain is not None
        return Descent(chain, team, bounded=self.shape.bounded)

    def learn(self, batch: Batch, share: float, descent: Descent) -> Loss:
        seen, values = self.corrupt(batch)["values"].flatten(1), batch.roles["input"]["values"].flatten(1)
        return Loss(descent.descend(seen, values, share), len(values))

    def _chain(self) -> Chain | None:
        return self.encoders["input"].chain(self.bottleneck, self.decoder)

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`mse`; of tokens `perplexity` and `token_accuracy`."""
        return measures((self.draw(batch.roles["input"]), batch.roles["input"], None) for batch in batches)

    def validation_metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Of numbers, the loss says all there is: they are not drawn a second time."""
        return self.metrics(batches) if self.shape.layout == "tokens" else {}

    def corrupt(self, batch: Batch) -> Tensors:
        """What the encoder sees of a batch while learning: here, the batch itself."""
        return batch.roles["input"]


class Spaced(Autoencoder, Comparison):
    """An autoencoder whose codes are to lie as far from each other as their items do."""

    def __init__(self, role: Role, *, stress: float, residual: bool, noise: float, shrinkage: float) -> None:
        super().__init__(role, residual=residual, noise=noise, shrinkage=shrinkage)
        self.stress, self.straight = stress, False

    def loss(self, batch: Batch) -> Loss:
        return Comparison.loss(self, batch) if self.training else Autoencoder.loss(self, batch)

    def represent(self, batch: Batch) -> Tensor:
        """What every item is charged with, its code in the unit of the items, and the item: [B, 1 + E + N]."""
        each, code = self.missed(batch)
        unit = 1.0 if self.shortcut is None else self.shortcut.scale
        return torch.cat([each[:, None], code * unit, batch.roles["input"]["values"].flatten(1)], 1).float()

    def loss_from(self, representations: Tensor, batch: Batch) -> Loss:
        each, code, values = representations.tensor_split([1, 1 + self.code], 1)
        misplaced = displacements(code, values) / self.shape.count
        return Loss((each[:, 0] + self.stress * misplaced).sum(), len(each))
