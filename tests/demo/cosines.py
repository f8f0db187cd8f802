"""cosines.py - how near the vectors of eet-encode are to each other, as a table.

    cosines.py SENTENCES.jsonl VECTORS.jsonl
"""

import json
import sys


def main():
    """Prints one line a sentence: its cosine with each sentence up to itself."""
    texts, vectors = ([json.loads(line) for line in open(name)] for name in sys.argv[1:3])
    print(" " * 59 + "".join(f"{row + 1:7}" for row in range(len(texts))))
    for row, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        cosines = [
            sum(a * b for a, b in zip(vector["embedding"], other["embedding"], strict=True))
            for other in vectors[: row + 1]
        ]
        cells = "".join(f"{cosine:7.3f}" for cosine in cosines)
        print(f"  {row + 1}  {text['text']:<54}{cells}")


main()
