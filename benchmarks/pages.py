"""Text that a benchmark writes into a page, between two marks that stay."""

from __future__ import annotations

from pathlib import Path

MEMORY_PAGE = Path(__file__).resolve().parents[1] / "tunekit" / "memory" / "README.md"


def put(path: Path, mark: str, text: str) -> None:
    """Replace what stands between `<!-- mark:begin -->` and `<!-- mark:end -->`. SystemExit: the page has no such."""
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    page = path.read_text(encoding="utf-8") if path.is_file() else ""
    if begin not in page or end not in page:
        raise SystemExit(f"{path} has no place for the table: write a line {begin} and a line {end} into it.")
    before, _, rest = page.partition(begin)
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
