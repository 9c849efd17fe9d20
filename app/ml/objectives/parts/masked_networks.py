"""Networks that tell the hidden parts of an item from the visible ones: values, patches or words.

Legend: `B` batch, `L` parts of an item (values, patches or tokens), `K` visible ones, `D` width of the encoder's
features, `E` width of the embedding, `N` numbers of a patch, `V` vocabulary.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from app.errors import OutOfRange
from app.ml.encoders.base import Encoders
from app.ml.image import patches
from app.ml.networks.attention import Layer
from app.ml.networks.layers import linear
from app.ml.networks.tracing import tracing
from app.ml.objectives.base import Objective, Role
from app.ml.objectives.parts import masking
from app.ml.objectives.parts.rebuilding import bounded, errors, measures, real, rendered
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.random_numbers import uniform
from app.ml.tensors.shapes import Tensors
from app.ml.text.frequencies import log_frequencies
from app.ml.text.tokenization import MASK, SPECIALS

PATCHES, OTHERS = 0.75, 0.3
"""Shares that are hidden by default: neighbouring pixels tell so much that most must go (He 2021)."""
DECODER_WIDTH, DECODER_HEADS, DECODER_DEPTH = 128, 4, 2
LIE, TRUTH = 0.1, 0.1
"""Shares of the hidden words that are shown as another word or as themselves (Devlin 2018): a network that serves
texts without hidden words should have met such while it learned."""


class MaskedNetwork(Objective):
    """An encoder, an embedding of its features, and a way from there to the hidden parts."""

    def __init__(self, mask_ratio: float | None, role: Role, *, ratio: float, parts: int) -> None:
        super().__init__()
        assert role.encoder is not None
        if parts < 2:
            raise OutOfRange(
                "objective 'masked' hides some of an item's parts, and these items have a single one; "
                "give wider rows, larger pictures, longer texts or an encoder with smaller patches",
                param="objective",
            )
        self.shape, self.parts = role.modality.shape, parts
        self.ratio = mask_ratio or ratio
        self.groups = masking.groups(self.ratio, parts)  # here, for graphs to hold them and not how they are drawn
        self.encoders = Encoders({"input": role.encoder})
        self.width = role.dimensions or role.encoder.width
        self.neck = nn.Identity() if self.width == role.encoder.width else linear(role.encoder.width, self.width)

    @abstractmethod
    def told(self, shown: Tensors, where: Tensor, hidden: int) -> Tensor:
        """What the visible parts say of the whole: values like the item's, or scores [B, L, V] of its words.

        `where` [B, L], or [1, L] for all rows, says what is hidden: `hidden` parts of every row, but for texts.
        """

    def show(self, inputs: Tensors, where: Tensor) -> Tensors:
        """The item as the encoder is given it: without the parts `where` [B, L]."""
        return inputs

    @property
    def hidden(self) -> int:
        """Parts of a row that are hidden by `hide`."""
        return masking.hidden_count(self.ratio, self.parts)

    def chances(self, batch: Batch) -> Tensors:
        """The same ones at every validation."""
        seed = batch.seed if self.training else 0
        return {"hidden": masking.hidden(batch.rows, seed, self.ratio, self.parts)}

    def hide(self, batch: Batch) -> Tensor:
        """Which parts [B, L] are hidden."""
        return self.drawn(batch)["hidden"]

    def covered(self, where: Tensor) -> Tensor:
        """`where` [B, L] as a mask of the item's values."""
        return where

    def embed(self, inputs: Tensors) -> Tensor:
        embedding: Tensor = self.neck(self.encoders["input"].pooled(inputs))  # [B, D] -> [B, E]
        return embedding

    def reconstruct(self, inputs: Tensors) -> Tensor:
        """Every part as the rest of the item tells it: one group of parts is hidden after the other."""
        values = inputs["values"]
        whole = torch.zeros_like(values).flatten(1)  # [B, N], as onnx2tf mixes up axes where more are chosen from
        for group in self.groups:
            where = group.to(values.device)[None]
            if self.shape.layout == "tokens":
                where = where[:, : values.shape[1]]
            told = rendered(self.told(self.show(inputs, where), where, int(group.sum())), inputs)
            whole = torch.where(self.covered(where).flatten(1), told.flatten(1), whole)
        return whole.view_as(values)

    def loss(self, batch: Batch) -> Loss:
        """Sum over the items of the mean error of their hidden parts, and the number of items."""
        inputs, where = batch.roles["input"], self.hide(batch)
        shown = self.disguise(batch, where) if self.training else self.show(inputs, where)
        each = errors(self.told(shown, where, self.hidden), inputs, self.covered(where))
        return Loss(each.sum(), len(each))

    def disguise(self, batch: Batch, where: Tensor) -> Tensors:
        """`show` while learning."""
        return self.show(batch.roles["input"], where)

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Of hidden parts: `mse`, or `perplexity` and `token_accuracy`."""

        def shown(batch: Batch) -> tuple[Tensor, Tensors, Tensor]:
            inputs, where = batch.roles["input"], self.hide(batch)
            return self.told(self.show(inputs, where), where, self.hidden), inputs, self.covered(where)

        return measures(shown(batch) for batch in batches)


class MaskedPatches(MaskedNetwork):
    """The encoder sees the visible patches of a grid alone; a small decoder is told where the others are missing."""

    def __init__(self, mask_ratio: float | None, role: Role) -> None:
        assert role.encoder is not None
        shape, side = role.modality.shape, role.encoder.side
        super().__init__(mask_ratio, role, ratio=PATCHES, parts=math.prod(patches.lattice(shape, side)))
        self.side = side
        self.expand = linear(self.width, DECODER_WIDTH)
        self.missing = nn.Parameter(0.02 * torch.randn(DECODER_WIDTH))
        self.places = nn.Parameter(0.02 * torch.randn(self.parts, DECODER_WIDTH))
        self.layers = nn.ModuleList(Layer(DECODER_WIDTH, DECODER_HEADS, DECODER_DEPTH) for _ in range(DECODER_DEPTH))
        self.draw = nn.Sequential(nn.LayerNorm(DECODER_WIDTH), linear(DECODER_WIDTH, shape.size[0] * side**2))

    def told(self, shown: Tensors, where: Tensor, hidden: int) -> Tensor:
        keep = masking.visible(where, self.parts - hidden)  # [B, K]
        seen = self.expand(self.neck(self.encoders["input"](shown, keep=keep).tokens))  # [B, K, D]
        missing = self.missing.to(seen.dtype)
        if tracing():  # of all rows alike, as onnx2tf cannot scatter: each part is seen or missing, times 1 or 0
            away = where[0, :, None].to(seen.dtype)  # [L, 1]
            tokens = seen.index_select(1, ((~where[0]).cumsum(0) - 1).clamp(min=0))
            tokens = tokens * (1 - away) + missing * away
        else:
            tokens = missing.expand(len(seen), self.parts, -1)  # [B, L, D]
            tokens = tokens.scatter(1, keep[:, :, None].expand_as(seen), seen)
        tokens = tokens + self.places
        for layer in self.layers:
            tokens = layer(tokens)
        return bounded(patches.joined(self.draw(tokens), self.shape, self.side), self.shape)

    def covered(self, where: Tensor) -> Tensor:
        return patches.over_grid(where, self.shape, self.side)


class MaskedValues(MaskedNetwork):
    """A learned value stands where something is hidden; the whole is drawn again from the embedding."""

    def __init__(self, mask_ratio: float | None, role: Role) -> None:
        assert role.encoder is not None
        shape = role.modality.shape
        side = patches.side(shape, None) if shape.layout == "grid" else 0
        parts = math.prod(patches.lattice(shape, side)) if side else shape.count
        super().__init__(mask_ratio, role, ratio=OTHERS, parts=parts)
        self.side = side
        self.blank = nn.Parameter(torch.zeros(shape.size[0], *[1] * (len(shape.size) - 1)))
        self.decoder = role.encoder.decoder(shape, self.width)

    def show(self, inputs: Tensors, where: Tensor) -> Tensors:
        values, covered = inputs["values"], self.covered(where)
        if tracing():  # flat, as in `reconstruct`
            blank = self.blank.expand(self.shape.size).flatten()
            shown = torch.where(covered.flatten(1), blank, values.flatten(1)).view_as(values)
            return {**inputs, "values": shown}
        return {**inputs, "values": torch.where(covered, self.blank, values)}

    def told(self, shown: Tensors, where: Tensor, hidden: int) -> Tensor:
        return bounded(self.decoder(self.embed(shown)), self.shape)

    def covered(self, where: Tensor) -> Tensor:
        return patches.over_grid(where, self.shape, self.side) if self.side else where


class MaskedTokens(MaskedNetwork):
    """Hidden words, told from the words around them."""

    def __init__(self, mask_ratio: float | None, role: Role) -> None:
        super().__init__(mask_ratio, role, ratio=OTHERS, parts=role.modality.shape.size[0])
        vocabulary = role.modality.shape.vocabulary
        assert vocabulary is not None
        self.vocabulary = vocabulary
        self.head = nn.Sequential(nn.LayerNorm(self.width), linear(self.width, vocabulary))

    @torch.no_grad()
    def begin(self, stream: Stream) -> None:
        _, scores = self.head
        assert isinstance(scores, nn.Linear)
        scores.bias.copy_(log_frequencies(stream, self.vocabulary))

    def chances(self, batch: Batch) -> Tensors:
        size = batch.roles["input"]["values"].shape
        drawn = {"hidden": uniform(batch.rows, batch.seed if self.training else 0, size[1])}
        if self.training:
            random = batch.generator()
            drawn["lie"] = torch.rand(size, generator=random)
            drawn["others"] = torch.randint(len(SPECIALS), self.vocabulary, size, generator=random)
        return drawn

    def hide(self, batch: Batch) -> Tensor:
        return masking.hidden_tokens(self.drawn(batch)["hidden"], self.ratio, real(batch.roles["input"]))

    def show(self, inputs: Tensors, where: Tensor) -> Tensors:
        return {**inputs, "values": inputs["values"].masked_fill(where, MASK)}

    def disguise(self, batch: Batch, where: Tensor) -> Tensors:
        words, drawn = batch.roles["input"]["values"], self.drawn(batch)
        words = words.where(~(where & (drawn["lie"] < LIE)), drawn["others"])
        return self.show({**batch.roles["input"], "values": words}, where & (drawn["lie"] >= LIE + TRUTH))

    def told(self, shown: Tensors, where: Tensor, hidden: int) -> Tensor:
        scores: Tensor = self.head(self.neck(self.encoders["input"](shown).tokens))
        return scores
