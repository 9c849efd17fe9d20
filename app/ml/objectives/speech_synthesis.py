"""Learns to speak: from recordings and what is said in them, to the sound of any text in the same voice.

All frames at once (FastSpeech, Ren 2019). Nobody says when which letter is spoken: the encoder tells an average frame
for each of them, and the best monotonic path through a recording under these (Kim 2020; Popov 2021) teaches both the
averages and the durations.
Legend: `B` batch, `L` tokens, the silences before and after the text among them, `F` frames, `M` mels, `D` width.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from app.errors import DoesNotFit
from app.ml.audio.durations import aligned, evenness, laid_out
from app.ml.encoders.base import Encoders
from app.ml.modalities.spectrogram import FittedSpectrogram
from app.ml.networks.layers import activated, linear
from app.ml.networks.temporal import Convolutions
from app.ml.objectives.base import Objective, ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.shapes import Shape, Tensors

SEEN = 1_000_000
"""Characters that a training sees by default: about ten minutes of two cores."""
MOST_EPOCHS = 100
"""Of small datasets: 400 steps of 16 words were enough for words that all are understood."""
SLOWEST = 80.0
"""Frames of a token at most: a second of silence."""
MOST_FRAMES = 16_384.0
"""Of one text at most, some minutes: what has learned nothing has no measure."""
EDGES = 2
"""Tokens of silence, one before the text and one after it."""


class SpeechSynthesis(ObjectiveSettings):
    """Speak texts like the recordings of the dataset, whose transcripts are its captions. One voice: where several
    people speak, their mean."""

    name: Literal["speech_synthesis"] = "speech_synthesis"
    """Speak."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "caption": RoleNeeds(frozenset({"tokens"}), encoded=True),
        "input": RoleNeeds(frozenset({"frames"})),
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"synthesize"})
    request_role: ClassVar[str] = "caption"
    response_role: ClassVar[str] = "input"
    keeps_answers: ClassVar[bool] = True
    allows_augmentation: ClassVar[bool] = False
    modality_defaults: ClassVar[Mapping[str, Any]] = {"tokenizer": "characters", "lower": True, "max_length": 1024}

    width: int = Field(128, ge=8, le=2048)
    """Numbers per frame in the layers that turn letters into sound."""
    depth: int = Field(4, ge=1, le=32)
    """Layers of that kind, each a convolution over five frames."""

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return "rnn", "a letter sounds as its neighbours on both sides make it"

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        batch = 16
        epochs = max(1, min(MOST_EPOCHS, round(SEEN / (data.length * data.rows))))
        return (
            {"epochs": epochs, "batch_size": batch, "learning_rate": 2e-3},
            f"{data.rows:,} recordings with {data.length:.0f} characters each, {epochs} times over",
        )

    def build(self, roles: Mapping[str, Role]) -> "Speaker":
        return Speaker(self, roles["caption"], roles["input"])


class Speaker(Objective):
    """An average frame and a duration per token, and convolutions that make speech of averages laid out in time."""

    most: Tensor
    decibels: Tensor
    """[M], of one deviation of each mel."""

    def __init__(self, settings: SpeechSynthesis, text: Role, sound: Role) -> None:
        super().__init__()
        assert text.encoder is not None
        assert isinstance(sound.modality, FittedSpectrogram)
        width, mels = text.encoder.width, sound.modality.shape.count
        self.encoders = Encoders({"caption": text.encoder})
        self.edges = nn.Parameter(torch.randn(EDGES, width))
        self.averages = linear(width, mels)
        self.rhythm = nn.Sequential(activated(width, width), nn.GELU(), nn.LayerNorm(width))
        self.pace = linear(width, 1)
        self.enter = linear(width + 2, settings.width)
        self.layers = Convolutions(settings.width, settings.depth)
        self.leave = linear(settings.width, mels)
        self.register_buffer("most", torch.tensor(text.modality.shape.size[0]))
        self.register_buffer("decibels", sound.modality.scale, persistent=False)
        self.seconds = sound.modality.mel.hop / sound.modality.settings.rate
        """From one frame to the next."""

    @property
    def longest_text(self) -> int:
        return int(self.most)

    def begin(self, stream: Stream) -> None:
        """Sets the usual duration and the longest text. Raises DoesNotFit for a recording too short for its text."""
        tokens, frames, longest = 0, 0, 0
        for batch in stream():
            lengths, heard = (batch.roles[role]["mask"].sum(1) for role in ("caption", "input"))
            if (short := heard < lengths + EDGES).any():
                row = int(short.nonzero()[0, 0])
                raise DoesNotFit(
                    f"training row {int(batch.rows[row])}: its text has {int(lengths[row])} characters, and its "
                    f"recording {int(heard[row]) * self.seconds:.2f} s; nobody speaks so fast. Does the recording "
                    "belong to the text, and is it whole? Mend the row, or leave it out",
                    param="dataset",
                )
            tokens, frames = tokens + int((lengths + EDGES).sum()), frames + int(heard.sum())
            longest = max(longest, int(lengths.max()))
        with torch.no_grad():
            self.pace.bias.fill_(frames / max(1, tokens)).log_()
            self.most.fill_(longest)

    def loss(self, batch: Batch) -> Loss:
        """Sum over the frames: how far averages and speech are from them, and durations from those found."""
        tokens, mask, averages, durations, logs = self._heard(batch)
        sound = batch.roles["input"]
        told, there = sound["values"], sound["mask"]
        spoken, coarse = self._spoken(tokens, averages, durations, there)
        count = int(there.sum())
        real = there[:, :, None]
        rough = 0.5 * ((coarse - told).square() * real).mean(2).sum()
        fine = ((spoken - told).abs() * real).mean(2).sum()
        paces = ((logs.exp() - durations * (1 + logs - durations.clamp(min=1e-3).log())) * mask).sum()
        parts = {"mel_error": fine.detach(), "pace_error": paces.detach()}
        return Loss(rough + fine + paces, count, parts)

    def synthesize(self, inputs: Tensors) -> Tensor:
        """Frames [B, F, 1 + M] of texts, F the longest: 1 and what is heard, zeros where the sound has ended.

        `speed` [B] divides the durations.
        """
        tokens, mask = self._read(inputs)
        durations = self.pace(self.rhythm(tokens))[..., 0].float().exp().clamp(max=SLOWEST) * mask
        if "speed" in inputs:
            durations = durations / inputs["speed"][:, None]
        durations = durations * (MOST_FRAMES / durations.sum(1, keepdim=True)).clamp(max=1)
        lengths = durations.sum(1).round().clamp(min=1)
        there = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
        spoken, _ = self._spoken(tokens, self.averages(tokens), durations, there)
        return torch.cat([there[:, :, None].to(spoken.dtype), spoken * there[:, :, None]], 2)

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`mel_error` in dB, mean over frames and mels, with the recording's own durations; `length_error` in seconds,
        of a whole text spoken with durations of its own."""
        missed, frames, late, rows = 0.0, 0, 0.0, 0
        for batch in batches:
            tokens, mask, averages, durations, logs = self._heard(batch)
            there = batch.roles["input"]["mask"]
            spoken, _ = self._spoken(tokens, averages, durations, there)
            missed += self._missed(spoken, batch)
            frames += int(there.sum())
            late += float(((logs.exp() * mask).sum(1) - there.sum(1)).abs().sum()) * self.seconds
            rows += len(there)
        return {"mel_error": missed / max(1, frames), "length_error": late / max(1, rows)}

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """`mean`: the mean frame of the training recordings all the time, and their mean pace."""
        tokens, frames = (sum(int(batch.roles[role]["mask"].sum()) for batch in train) for role in ("caption", "input"))
        missed, late = 0.0, 0.0
        for batch in test:
            lengths, heard = (batch.roles[role]["mask"].sum(1) for role in ("caption", "input"))
            missed += self._missed(torch.zeros(()), batch)
            late += float((lengths * (frames / max(1, tokens)) - heard).abs().sum()) * self.seconds
        counted, rows = sum(int(b.roles["input"]["mask"].sum()) for b in test), sum(len(b.rows) for b in test)
        return {"mean": {"mel_error": missed / max(1, counted), "length_error": late / max(1, rows)}}

    def caveat(self, metrics: Mapping[str, Any]) -> str | None:
        """Where the mean pace, or the mean frame, is nearer to the recordings than what is said."""
        mean = metrics.get("baselines", {}).get("mean", {})  # there is none where no row was left to judge by
        said = [
            f"{name} is {metrics[name]:.3g}, and {answer} all the time has {mean[name]:.3g}"
            for name, answer in (("mel_error", "the mean frame"), ("length_error", "the mean pace"))
            if name in mean and metrics[name] > mean[name]
        ]
        return f"{'; '.join(said)}. Try more recordings, more epochs or a base_model that speaks" if said else None

    def _missed(self, spoken: Tensor, batch: Batch) -> float:
        """Sum over the frames of the mean distance from them, in dB."""
        sound = batch.roles["input"]
        misses = (spoken - sound["values"]).abs() * self.decibels
        return float((misses.mean(2) * sound["mask"]).sum())

    def _read(self, inputs: Tensors) -> tuple[Tensor, Tensor]:
        """Tokens [B, L, D] between silences, and which are real [B, L]."""
        features = self.encoders["caption"](inputs).tokens
        lengths = inputs["mask"].sum(1) + 1
        mask = pad(inputs["mask"], (EDGES, 0), value=True)
        last = torch.arange(mask.shape[1], device=mask.device) == lengths[:, None]
        before, after = self.edges.to(features.dtype)
        tokens = torch.cat([before.expand(len(features), 1, -1), pad(features, (0, 0, 0, 1))], 1)
        return torch.where(last[:, :, None], after, tokens) * mask[:, :, None], mask

    def _heard(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Tokens [B, L, D], which are real [B, L], their averages [B, L, M], their durations in the recording [B, L]
        and the logarithms of those that are expected [B, L]."""
        tokens, mask = self._read(batch.roles["caption"])
        sound = batch.roles["input"]
        averages = self.averages(tokens).float()
        logs = self.pace(self.rhythm(tokens.detach()))[..., 0].float()
        lengths, frames = mask.sum(1), sound["mask"].sum(1)
        with torch.no_grad():
            likely = averages @ sound["values"].transpose(1, 2) - 0.5 * averages.square().sum(2, keepdim=True)
            likely += evenness(lengths, frames, (likely.shape[1], likely.shape[2]))
            durations = aligned(likely, lengths, frames)
        return tokens, mask, averages, durations, logs

    def _spoken(self, tokens: Tensor, averages: Tensor, durations: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [B, F, M], and the averages of their tokens [B, F, M]."""
        share = laid_out(durations, there.shape[1])  # [B, F, L]
        times = torch.arange(there.shape[1], device=there.device)[:, None] + 0.5
        begins = durations.cumsum(1) - durations
        passed = (share * ((times - begins[:, None]) / durations.clamp(min=1e-3)[:, None]).clamp(0, 1)).sum(2)
        lasting = share @ durations.clamp(min=1e-3).log()[:, :, None]
        coarse = share @ averages
        entered = self.enter(torch.cat([share.to(tokens.dtype) @ tokens, passed[:, :, None], lasting], 2))
        spoken: Tensor = self.leave(self.layers(entered, there)).float() + coarse.detach()
        return spoken, coarse
