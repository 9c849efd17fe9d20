"""Learns a code that is a cloud rather than a point, so that nearby codes mean nearby items (Kingma & Welling 2013).

Legend: `B` batch, `D` width of the encoder's features, `E` width of the code, `W` numbers (or words) per item.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from app.ml.networks.layers import linear
from app.ml.objectives.autoencoding import Autoencoder
from app.ml.objectives.base import ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.parts.codes import flat_encoder, narrow
from app.ml.objectives.parts.rebuilding import bounded, drawing, misses, real
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch, Loss
from app.ml.tensors.shapes import Shape, Tensors

PACE = 20.0
"""How much faster the noise's logarithm moves than other weights: it has to cross several units within a training."""
FINEST = -12.0
"""Logarithm of the smallest noise: items that are drawn perfectly would want none, and divide by zero."""
WIDEST_CLOUD = 10.0


class Variational(ObjectiveSettings):
    """Rebuild every row from a random point near its code, and keep all codes near the origin. `embed` is the mean."""

    name: Literal["variational"] = "variational"
    """Compress into a smooth code and rebuild."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True)
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "reconstruct", "generate"})
    keeps_dimensions: ClassVar[bool] = True
    scores_vocabulary: ClassVar[bool] = True

    beta: float = Field(1.0, ge=0, le=1000)
    """Weight of what a code says beyond the origin (Higgins 2017): 1 is the bound on the likelihood; more gives
    simpler codes and coarser reconstructions."""
    free_bits: float = Field(0.0, ge=0, le=10)
    """Nats that each number of a code may say without cost (Kingma 2016), against codes that say nothing."""

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return flat_encoder(shape)

    def default_dimensions(self, data: TrainingData) -> int | None:
        return narrow(data.shape)

    def build(self, roles: Mapping[str, Role]) -> "VariationalAutoencoder":
        return VariationalAutoencoder(self, roles["input"])


class VariationalAutoencoder(Autoencoder):
    """An autoencoder whose encoder gives a mean and a variance per number of the code.

    Numbers are drawn with a Gaussian noise that is learned along (Rybkin 2020): no weight between the two parts of the
    loss has to be found for every kind of data.
    """

    def __init__(self, settings: Variational, role: Role) -> None:
        super().__init__(role)
        self.settings, self.straight = settings, False
        width = self.encoders["input"].width
        self.bottleneck, self.spread = linear(width, self.code), linear(width, self.code)
        self.noise = nn.Parameter(torch.zeros(())) if self.shape.layout != "tokens" else None

    def chances(self, batch: Batch) -> Tensors:
        code = (len(batch.rows), self.code)
        return {"code": torch.randn(code, generator=batch.generator())} if self.training else {}

    def loss(self, batch: Batch) -> Loss:
        """Sum over the items of their negative bound on the log-likelihood, in nats per number or word."""
        inputs = batch.roles["input"]
        features = self.encoders["input"].pooled(inputs)
        mean, log_variance = self.bottleneck(features).float(), self.spread(features).float()  # [B, E]
        log_variance = log_variance.clamp(-WIDEST_CLOUD, WIDEST_CLOUD)
        code = mean
        if self.training:
            code = mean + (0.5 * log_variance).exp() * self.drawn(batch)["code"]
        each = misses(drawing(self.decoder, code, inputs, self.shape), inputs, self.shape)  # [B]
        said = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)  # [B, E], nats
        cost = self.settings.beta * said.clamp(min=self.settings.free_bits).sum(1)
        parts = {"kl": said.sum().detach(), "error": each.sum().detach(), **self.measured(each)}
        if self.noise is None:
            return Loss((each + cost / real(inputs).sum(1).clamp(min=1)).sum(), len(each), parts)
        noise = (PACE * self.noise).clamp(min=FINEST)
        likely = 0.5 * (each * (-noise).exp() + noise)
        return Loss((likely + cost / self.shape.count).sum(), len(each), parts)

    def generate(self, codes: Tensors) -> Tensor:
        """Items [B, *shape.size] that codes `values` [B, E] stand for, without noise; of texts, words at all places."""
        if self.shape.layout == "tokens":
            words: Tensor = self.decoder(codes["values"], self.shape.size[0]).argmax(2)
            return words
        return bounded(self.decoder(codes["values"]), self.shape)

    def example_inputs(self, ability: str, items: Tensors) -> Tensors:
        return {"values": self.embed(items)} if ability == "generate" else items

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Those of an autoencoder, drawn from the mean, and `kl`: nats that a code says on average."""
        losses: list[Loss] = []

        def counted() -> Iterable[Batch]:
            for batch in batches:
                losses.append(self.loss(batch))
                yield batch

        measured = super().metrics(counted())
        said = sum(loss.parts["kl"].item() for loss in losses)
        return {**measured, "kl": said / max(1, sum(loss.count for loss in losses))}
