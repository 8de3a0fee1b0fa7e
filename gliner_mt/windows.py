"""Long documents: which words are read together, and which window's answer counts for a span. Pure Python."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gliner_mt.decode import Candidate


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the document that is read at once: word indices, end-exclusive."""

    word_start: int
    word_end: int


def plan_windows(
    words: Iterable[tuple[int, bool]], *, budget: int, overlap: int, shared: float = 0.0
) -> Iterator[Window]:
    """Cover a document with windows of at most `budget` sub-words, `overlap` words shared by neighbours.

    They share the part `shared` of a window, where that is more words.

    `words` gives each word's number of sub-words and whether a sentence ends after it. It is read as a
    stream, and no more than a window of it is kept.

    Every span of at most `overlap` words whose sub-words fit into the budget lies whole in some window:
    one that ends beyond a window starts less than `overlap` words before that window's end, so the next
    window has its start; and where a window holds too few words for that, the next starts one word later
    and the window was full, so the span left behind is over the budget.

    Starts and ends both increase strictly. Raises ValueError at a word that exceeds the budget alone.
    """
    held: deque[tuple[int, bool]] = deque()
    room, again = budget, 0
    for index, (size, ends_sentence) in enumerate(words):
        if size > budget:
            raise ValueError(f"word {index} has {size} sub-words; a window holds at most {budget}.")
        while size > room:
            start, full = index - len(held), len(held)
            kept = _words_kept(held, max(overlap, again))
            yield Window(start, start + kept)
            again = kept - max(1, kept - max(overlap, int(shared * kept)))
            for _ in range(kept - again):
                room += held.popleft()[0]
            # What follows a full window must reach the next word, else it would lie inside that window.
            while kept == full and size > room:
                room += held.popleft()[0]
        held.append((size, ends_sentence))
        room -= size
    if held:
        end = index + 1
        yield Window(end - len(held), end)


def merge_windows(windows: Sequence[Window], found: Iterable[tuple[int, Candidate]]) -> list[Candidate]:
    """Let each span be judged by one window only: keep the candidates found by the owner of their span.

    `found` pairs the index of a window with a candidate in word indices of the document; the answer keeps
    its order. The owner of a span is the window that holds it with the widest margin to an inner edge, the
    earlier of equals. (The document's own start and end need no exception: the first and the last window
    are the farthest from an inner edge there anyway.) What an edge leaves of a longer span has margin 0, so,
    where the neighbours share more words than it has, it is judged by the window that reads on and sees the
    whole. No span comes twice, or with a label its owner did not give it.

    Starts and ends of `plan_windows` increase, so the windows that hold a span are neighbours between two
    bisections: the first that ends late enough, the last that starts early enough.
    """
    starts = [window.word_start for window in windows]
    ends = [window.word_end for window in windows]

    def owner(start: int, end: int) -> int:
        def margin(index: int) -> int:
            return min(start - starts[index], ends[index] - end)

        return max(range(bisect_left(ends, end), bisect_right(starts, start)), key=margin)

    return [one for index, one in found if index == owner(one.word_start, one.word_end)]


def _words_kept(held: deque[tuple[int, bool]], overlap: int) -> int:
    """Return how many words of a full window to keep: to the last sentence end in its last half, or all."""
    # Keeping no more than the overlap would leave the next window without progress past this one.
    fewest = max(len(held) // 2, overlap + 1) + 1
    for kept, (_, ends_sentence) in zip(range(len(held), fewest - 1, -1), reversed(held), strict=False):
        if ends_sentence:
            return kept
    return len(held)
