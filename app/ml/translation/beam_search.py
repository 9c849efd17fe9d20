"""The likeliest text, token by token: beam search over many rows at once. Knows no network.

Legend: `B` batch, `K` beams, `V` vocabulary, `T` tokens.
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from app.ml.text.tokenization import BEGIN, END, PAD

BEAMS, MOST_BEAMS = 4, 16
"""Of a request that does not say, and at most."""


class Speaker:
    """What continues K texts for each of B rows."""

    @abstractmethod
    def following(self, tokens: Tensor) -> Tensor:
        """Log-probabilities [B, K, V] of what follows `tokens` [B, K], the last of each text; -inf for what must not.

        `END` is one of them.
        """

    @abstractmethod
    def turn(self, parents: Tensor) -> None:
        """From now on the texts of each row are those that were at the places `parents` [B, K]."""

    @abstractmethod
    def stay(self, rows: Tensor) -> None:
        """From now on there are those of the B rows alone that have the numbers `rows`."""


def search(speaker: Speaker, most: Tensor, beams: int, normalisation: float) -> Tensor:
    """The best texts [B, T] of at least one and at most `most` [B] tokens, without their end, zeros behind it.

    Those with the highest log-probability over (tokens, the end among them)^normalisation of all that ended while they
    were among the `beams` best; with one beam, greedily the likeliest token each time (Graves 2012; Wu 2016). A row has
    ended with as many ended texts as beams, or as soon as nothing can become better than the best of them. Where none
    has ended after `most` tokens, the likeliest that there is. What others are in the batch makes no difference.
    """
    rows, device, longest = len(most), most.device, int(most.max())
    tokens = torch.full((rows, beams), BEGIN, device=device)
    texts = torch.full((rows, beams, longest), PAD, device=device)
    likely = torch.full((rows, beams), -math.inf, device=device)
    likely[:, 0] = 0.0  # all begin alike: one of them is enough
    best, found = torch.full((rows, longest), PAD, device=device), torch.full((rows,), -math.inf, device=device)
    ended, each = torch.zeros(rows, dtype=torch.long, device=device), torch.arange(rows, device=device)
    for place in range(longest + 1):
        following = speaker.following(tokens).float()
        if place == 0:
            following[:, :, END] = -math.inf
        scores, chosen = (likely[:, :, None] + following).flatten(1).topk(2 * beams, 1)
        parents, words = chosen // following.shape[2], chosen % following.shape[2]
        ends = (words == END) & (scores > -math.inf)
        ends[:, beams:] = False  # an end counts where it is among the best
        score, where = torch.where(ends, scores, -math.inf).max(1)
        forced, parent = (likely + following[:, :, END]).max(1)
        full = most == place  # no other word fits in
        parent = torch.where(full, parent, parents.gather(1, where[:, None])[:, 0])
        score = torch.where(full, forced, score)
        score = score / (place + 1) ** normalisation
        better = score > found
        best[each[better]] = texts[better, parent[better]]
        found, ended = torch.where(better, score, found), ended + ends.sum(1)
        likely, kept = torch.where(words == END, -math.inf, scores).topk(beams, 1)
        hope = likely[:, 0] / (most + 1) ** normalisation
        going = (~full & (ended < beams) & (found < hope)).nonzero()[:, 0]
        if not len(going):
            break
        parents, tokens = parents.gather(1, kept), words.gather(1, kept)
        texts = texts.gather(1, parents[:, :, None].expand_as(texts))
        texts[:, :, place] = tokens
        speaker.turn(parents)
        if len(going) < len(each):
            speaker.stay(going)
            tokens, texts, likely, found, ended, each, most = (
                part[going] for part in (tokens, texts, likely, found, ended, each, most)
            )
    return best[:, : max(1, int((best != PAD).sum(1).max()))]
