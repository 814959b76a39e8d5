"""Where prices are read from: the list that is shipped, or the user's own file or folder in its place."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from tunekit.errors import UsageError
from tunekit.prices.lists import read_price_list
from tunekit.prices.offers import Offer

_SHIPPED = Path(__file__).with_name("gpu_prices.csv")


def load_prices(path: Path | None = None) -> tuple[Offer, ...]:
    """The shipped offers, or those of a CSV file, or of every CSV file below a folder (SkyPilot's `catalogs/v8`).

    UsageError: no such file, no CSV file in the folder, or every faulty cell with file, line and column.
    """
    if path is None:
        return _shipped()
    if path.is_dir():
        files = sorted(path.rglob("*.csv"))
        if not files:
            raise UsageError(f"prices: there is no .csv file in {path}.")
        return tuple(offer for file in files for offer in _from_file(file))
    return _from_file(path)


@cache
def _shipped() -> tuple[Offer, ...]:
    return read_price_list(_SHIPPED.read_text(encoding="utf-8"), file=_SHIPPED.name)


def _from_file(path: Path) -> tuple[Offer, ...]:
    try:
        text, changed = path.read_text(encoding="utf-8"), path.stat().st_mtime
    except FileNotFoundError:
        raise UsageError(f"prices: there is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"prices: {path} cannot be read ({error}); it must be a CSV file in UTF-8.") from None
    # SkyPilot's files carry no date: they are as old as the download.
    day = datetime.fromtimestamp(changed, tz=UTC).date().isoformat()
    return read_price_list(text, file=str(path), provider=_provider(path), date=day)


def _provider(path: Path) -> str:
    """SkyPilot keeps a folder per provider, with one `vms.csv` in each."""
    return path.parent.name if path.stem == "vms" and path.parent.name else path.stem
