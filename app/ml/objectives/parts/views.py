"""Two views of every item, and what objectives that compare them let a client set. Knows no loss.

The job's augmentation makes them where there is one. Else each view loses a part of the item: numbers are exchanged for
random ones (SCARF, Bahri 2021), patches and words are hidden (for words beside dropout, as in SimCSE, Gao 2021).
Legend: `B` batch, `L` tokens.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from app.errors import DoesNotFit
from app.ml.decomposition.components import EXACT, Shortcut
from app.ml.decomposition.dictionary import NARROWEST, PatchComponents, holds_patches
from app.ml.image import patches
from app.ml.objectives.base import RoleNeeds
from app.ml.objectives.parts import masking
from app.ml.objectives.parts.nesting import NestedSettings
from app.ml.objectives.parts.rebuilding import real
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch, Roles
from app.ml.tensors.random_numbers import uniform
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ml.text.tokenization import MASK

SHARES = {"vector": 0.3, "grid": 0.3, "tokens": 0.15}
"""Of an item that a view loses by default."""
PAIR = 2
FULLY_CONNECTED = 8192
"""Numbers of an aligned grid up to which every one is connected to every feature."""
COMPONENTS = 64


class ViewsSettings(NestedSettings):
    """Root of the settings of objectives that compare two views of every row."""

    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True)
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    keeps_dimensions: ClassVar[bool] = True
    views: ClassVar[int] = 2

    corruption: float | None = Field(None, gt=0, lt=1)
    """Share of a row's values, patches or words that a view loses, where the job does not augment. By default 0.3,
    for words 0.15."""
    components: int | None = Field(None, ge=0, le=4096)
    """Principal components that stand behind the learned features in an embedding, in half of it at most: what views
    have in common leaves out where things are. By default 64 for pictures and for recordings of a second or two, and
    none for other rows."""
    components_of: Literal["patches", "values"] | None = None
    """What they are components of: a row's own numbers, or, as is the default for pictures of 8 by 8 and more, where a
    picture looks like which of 64 small patches (a dictionary that is learned first: Coates, Lee & Ng 2011)."""

    def check(self, layouts: Mapping[str, Layout]) -> None:
        layout = layouts["input"]
        if self.components and layout == "tokens":
            raise DoesNotFit(
                f"objective.components: {self.components} asked, and text has no principal components; leave it out",
                param="objective.components",
            )
        if self.components_of == "patches" and layout != "grid":
            raise DoesNotFit(
                "objective.components_of: 'patches' are of pictures; ask for 'values' or leave it out",
                param="objective.components_of",
            )

    def default_settings(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        pictures = holds_patches(data.shape)
        most = FULLY_CONNECTED if data.shape.aligned else EXACT
        usual = COMPONENTS if pictures or (data.shape.layout == "grid" and data.shape.count <= most) else 0
        components = usual if self.components is None else self.components
        of = {"components_of": self.components_of or ("patches" if pictures else "values")} if components else {}
        return {"components": components, **of}, "what views have in common leaves out where things are"

    def beside(self, shape: Shape, width: int) -> Shortcut | PatchComponents | None:
        """What computes the components of an embedding of `width` numbers; None without any."""
        components = min(self.components or 0, shape.count, width // 2)
        if not components:
            return None
        if self.components_of != "patches":
            return Shortcut(shape, components)
        if not holds_patches(shape):
            raise DoesNotFit(
                f"objective.components_of: 'patches' need pictures of {NARROWEST} by {NARROWEST} at least; ask for "
                "'values' or leave it out",
                param="objective.components_of",
            )
        return PatchComponents(shape, components)


def lost_in_views(batch: Batch, shape: Shape, share: float | None, *, training: bool) -> Tensors:
    """What two versions of the batch's items lose, drawn on the processor; the same at every validation."""
    if batch.views:
        return {}
    lost = share if share is not None else SHARES[shape.layout]
    seed, width = (PAIR * batch.seed if training else 0), batch.roles["input"]["values"].shape[1]
    drawn = {}
    for view in range(PAIR):
        for name, each in _lost(batch.rows, seed + view, width, shape, lost).items():
            drawn[f"{name}{view}"] = each
    return drawn


def two_views(batch: Batch, drawn: Tensors, shape: Shape) -> list[Roles]:
    """Two versions of the batch's roles: its views, or its items without what `lost_in_views` has drawn."""
    if batch.views:
        assert len(batch.views) == PAIR, "the objective asked for two views"
        return list(batch.views)
    inputs = batch.roles["input"]
    return [{**batch.roles, "input": _part_of(inputs, drawn, view, shape)} for view in range(PAIR)]


def _lost(rows: Tensor, seed: int, width: int, shape: Shape, share: float) -> Tensors:
    """Of one view: where it loses something [B, parts], and of rows of numbers what stands there instead."""
    if shape.layout == "tokens":
        return {"gone": uniform(rows, seed, width) < share}
    if shape.layout == "grid":
        count = patches.lattice(shape, patches.side(shape, None))
        return {} if count == (1, 1) else {"gone": masking.hidden(rows, seed, share, count[0] * count[1])}
    draw = uniform(rows, seed, 3 * width)
    others = draw[:, width : 2 * width]
    if not shape.bounded:  # Box & Muller 1958
        others = (-2 * (1 - others).log()).sqrt() * (2 * torch.pi * draw[:, 2 * width :]).cos()
    return {"gone": draw[:, :width] < share, "others": others}


def _part_of(inputs: Tensors, drawn: Tensors, view: int, shape: Shape) -> Tensors:
    values, gone = inputs["values"], drawn.get(f"gone{view}")
    if gone is None:
        return inputs
    if shape.layout == "tokens":
        return {**inputs, "values": values.masked_fill(gone & real(inputs), MASK)}
    if shape.layout == "grid":
        return {**inputs, "values": values.masked_fill(patches.over_grid(gone, shape, patches.side(shape, None)), 0.0)}
    return {**inputs, "values": torch.where(gone, drawn[f"others{view}"], values)}
