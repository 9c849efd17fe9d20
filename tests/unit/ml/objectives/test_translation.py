"""Translation learned from words and the same words in capitals, and what is asked of texts holds."""

import numpy as np
import pytest
import torch
from torch import Tensor

from app.errors import DoesNotFit
from app.ml.encoders.base import EncoderSettings
from app.ml.encoders.rnn import Rnn
from app.ml.modalities.text import FittedText, Text
from app.ml.objectives.base import Role
from app.ml.objectives.translation import Translation, Translator
from app.ml.tensors.batch import Batch
from app.ml.text.tokenization import END, MASK
from app.ml.translation.chrf import chrf

STEPS = 200
LETTERS = "abcdef"
SMALL = Translation(width=32, heads=2, depth=1, dropout=0, hidden=0)


def column(lines: list[str]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array(lines, dtype=object)


def words(count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return ["".join(draw.choice(list(LETTERS), draw.integers(2, 6))) for _ in range(count)]


def capitals(lines: list[str]) -> list[str]:
    return [line.upper() for line in lines]


LINES = words(400, 0)
FRESH = [line for line in words(60, 1) if line not in LINES]
READ = Text(tokenizer="characters", lower=False, max_length=12)
BOTH = READ.fit([column(LINES), column(capitals(LINES))])
SOURCES, TARGETS = READ.fit([column(LINES)]), READ.fit([column(capitals(LINES))])


def batch(lines: list[str], source: FittedText = BOTH, target: FittedText = BOTH) -> Batch:
    pair = {"source": source.encode(column(lines)), "target": target.encode(column(capitals(lines)))}
    return Batch(pair, torch.arange(len(lines)))


def untaught(
    source: FittedText = BOTH,
    target: FittedText = BOTH,
    settings: Translation = SMALL,
    encoder: EncoderSettings | None = None,
) -> Translator:
    torch.manual_seed(0)
    encoder = encoder or Rnn(preset="nano")
    return settings.build({"source": Role(source, encoder.build(source.shape)), "target": Role(target)})


@pytest.fixture(scope="module")
def network() -> Translator:
    made = untaught()
    made.begin(lambda *_: iter([batch(LINES)]))
    optimizer = torch.optim.AdamW(made.parameters(), lr=5e-3)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    draw = np.random.default_rng(0)
    for _ in range(STEPS):
        loss = made.loss(batch(list(draw.choice(LINES, 32))))
        optimizer.zero_grad()
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        falling.step()
    return made.eval().requires_grad_(False)


def translated(network: Translator, lines: list[str], **options: Tensor) -> list[str]:
    return BOTH.render(network.translate({**BOTH.encode(column(lines)), **options}))


def test_texts_that_were_never_seen_are_translated_better_than_by_any_easy_way(network: Translator) -> None:
    found = network.metrics([batch(FRESH)])
    baselines = network.baselines([batch(LINES)], [batch(FRESH)])
    assert set(baselines) == {"copy", "most_frequent", "nearest"}
    assert found["exact_match"] > 0.5
    assert found["chrf"] > 0.2 + max(figures["chrf"] for figures in baselines.values())
    assert 1 <= found["perplexity"] < 2


@pytest.mark.parametrize("beams", [1, 4])
def test_a_text_is_translated_as_if_it_were_alone(network: Translator, beams: int) -> None:
    lines = [*FRESH, "a", LETTERS]
    count = torch.full((len(lines),), beams)
    together = translated(network, lines, beams=count)
    assert together == [translated(network, [line], beams=count[:1])[0] for line in lines]
    assert together == translated(network, lines, beams=count), "the same question has the same answer"


def test_every_row_has_its_own_beams_and_bound(network: Translator) -> None:
    lines = FRESH[:6]
    beams, most = torch.tensor([4, 1, 2, 1, 4, 2]), torch.tensor([1, 9, 2, 3, 9, 9])
    mixed = translated(network, lines, beams=beams, most=most)
    alone = [
        translated(network, [line], beams=beams[row : row + 1], most=most[row : row + 1])[0]
        for row, line in enumerate(lines)
    ]
    assert mixed == alone
    assert [len(text) for text in mixed[:1]] == [1]


def test_an_untaught_network_ends(network: Translator) -> None:
    made = untaught().eval()
    made.pace.fill_(100)
    answer = made.translate(BOTH.encode(column([LETTERS, "ab"])))
    assert answer.shape[1] <= 12, "the longest target that it could have learned"
    made.pace.fill_(0)
    assert made.translate(BOTH.encode(column([LETTERS]))).shape[1] <= 10


def test_sources_and_targets_may_have_vocabularies_of_their_own() -> None:
    loss = untaught(SOURCES, TARGETS).train().loss(batch(LINES[:8], SOURCES, TARGETS))
    assert bool(loss.sum.isfinite())


def test_frequent_words_are_likely_before_the_first_step() -> None:
    """A network that knew nothing of them would begin by learning it, with all its weights."""
    made = untaught().eval().requires_grad_(False)
    without = made.metrics([batch(FRESH)])["perplexity"]
    made.begin(lambda *_: iter([batch(LINES)]))
    assert made.metrics([batch(FRESH)])["perplexity"] < 0.7 * without
    assert made.words.bias[END] > made.words.bias[MASK]


def test_validations_translate_greedily_and_know_the_same_perplexity(network: Translator) -> None:
    lessons = [batch(LINES[:20]), batch(FRESH)]
    whole, glance = network.metrics(lessons), network.validation_metrics(lessons)
    assert glance["perplexity"] == whole["perplexity"]
    one = torch.ones(len(FRESH), dtype=torch.int64)
    greedy = [*translated(network, LINES[:20], beams=one[:20]), *translated(network, FRESH, beams=one)]
    assert glance["chrf"] == chrf(zip(greedy, capitals(LINES[:20] + FRESH), strict=True))


def test_tokens_are_hidden_while_it_learns_and_at_no_other_time() -> None:
    hiding = untaught(settings=SMALL.model_copy(update={"hidden": 0.5}))
    lesson = batch(LINES)
    hidden = hiding.train()._hidden(lesson)
    for role in ("source", "target"):
        share = ((hidden[role] == MASK) & lesson.roles[role]["mask"]).sum() / lesson.roles[role]["mask"].sum()
        assert 0.4 < float(share) < 0.6
    assert torch.equal(hiding.loss(lesson).sum, hiding.loss(lesson).sum), "by the batch's own numbers"
    assert hiding.eval()._hidden(lesson) == {}


def test_targets_that_are_all_the_same_are_named() -> None:
    same = batch(["ab", "ab"])
    with pytest.raises(DoesNotFit, match="all targets of the training rows are the same text"):
        untaught().begin(lambda *_: iter([same, same]))


def test_a_width_that_heads_cannot_share_is_named() -> None:
    with pytest.raises(ValueError, match="as in width 32"):
        Translation(width=20, heads=4)
