"""Map and reduce: spread a list over workers, and gather what they made of it.

You learn:
- if all branches of a block are the same node, a list is distributed: as many workers as there are branches;
- there is one entry for each element, in the order of the elements.

    python -m examples.sequence_map_reduce
"""

from collections import Counter
from typing import Any

from tenuto.sequence import Sequence, node, parallel

CHUNK = 2


@node("split")
def split(lines: list[str]) -> list[list[str]]:
    return [lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK)]


@node("count_words")
def count_words(chunk: list[str]) -> Counter[str]:
    return Counter(word.strip(".,").lower() for line in chunk for word in line.split())


@node("merge")
def merge(counts: dict[str, Any]) -> list[tuple[str, int]]:
    total: Counter[str] = Counter()
    for count in counts.values():
        total += count
    return total.most_common(2)


workflow = Sequence(split >> parallel(count_words, count_words, count_words) >> merge, name="word-count")

TEXT = ["The sea is calm tonight.", "The tide is full,", "the moon lies fair", "upon the straits.", "Come!"]


def main() -> None:
    print(workflow.execute(TEXT))
    print(workflow.execute([]))


if __name__ == "__main__":
    main()
