"""The cases of docs/perpetuals.md as records: the page's own numbers, for every account that must come to them."""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np

from longshort.base.clock import HOUR
from longshort.base.instrument import AccountTerms, Costs, FeeTier, Instrument, MaintenanceTier
from longshort.data.bars import Bars
from longshort.policy.exposure import Exposure

from .accounts import FIRST_CLOSED_AT, coin, market

PAGE = Path(__file__).parent.parent / "docs" / "perpetuals.md"
NAN = float("nan")
Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Fill:
    row: int
    quantity: float
    price: float
    fee: float
    realized: float
    cause: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """A market with one coin, what is wished on it, and what must come of it, row by row."""

    name: str
    link: str
    bars: Bars
    exposure: Exposure
    costs: Costs
    account: AccountTerms
    balance: float
    fills: list[Fill]
    cash: list[float]
    equity: list[float]
    held: list[float]
    insurance: list[float]


@cache
def cases() -> tuple[Case, ...]:
    """Every table of the page that has a `Given` line."""
    text = PAGE.read_text(encoding="utf-8")
    contracts = {row["contract"]: row for row in _table(text.partition("## The contracts")[2])}
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    return tuple(_case(section, contracts) for section in sections)


def _case(section: str, contracts: dict[str, Row]) -> Case:
    given = dict(
        part.strip().split(" ", 1)
        for part in re.search(r"^Given: (.*)$", section, re.MULTILINE)[1].split(";")
    )
    rows, contract = _table(section), contracts[given["contract"]]
    bars = _bars(rows, _instrument(contract, given), given)
    wished = {name: _column(rows, name)[:, None] for name in ("wish", "stop", "take")}
    return Case(
        name=section.partition("\n")[0],
        link=re.search(r"\]\((https://[^)]*)\)", section)[1],
        bars=bars,
        exposure=Exposure(
            closed_at=bars.closed_at,
            symbols=bars.symbols,
            target=wished["wish"],
            stop=wished["stop"],
            take=wished["take"],
        ),
        costs=Costs(
            slippage_bps=0.0,
            by_volume="fees" in given,
            liquidation_bps=float(given.get("liquidation", 125)),
        ),
        account=AccountTerms(
            margin=given.get("margin", "none"),
            leverage=float(given.get("leverage", 1)),
            execution=given.get("execution", "taker"),
        ),
        balance=float(contract["balance"]),
        fills=[fill for t, row in enumerate(rows) for fill in _fills(t, row["fills"])],
        insurance=_column(rows, "insurance", 0.0).tolist(),
        **{name: _column(rows, name).tolist() for name in ("cash", "equity", "held")},
    )


def _instrument(contract: Row, given: Row) -> Instrument:
    plain = coin(
        tick=contract["tick"],
        lot=contract["lot"],
        size=contract["size"],
        inverse=contract["kind"] == "inverse",
    )
    tiers, start = [], 0.0
    for told in contract["maintenance"].split(", "):
        rate, end, less, cap = re.fullmatch(
            r"([\d.]+)%(?: to ([\d.]+))?(?: less ([\d.]+))? at (\d+)x", told
        ).groups()
        tiers.append(
            MaintenanceTier(
                from_notional=start,
                to_notional=float(end or "inf"),
                maintenance_rate=float(Decimal(rate) / 100),
                maintenance_amount=float(less or 0),
                max_leverage=float(cap),
            )
        )
        start = float(end or "inf")
    fees = re.findall(r"([\d.]+)/([\d.]+) from ([\d.]+)", given.get("fees", "2/5 from 0"))
    return Instrument(
        **{
            name: getattr(plain, name)
            for name in ("symbol", "venue", "base", "quote", "settle", "tick", "lot")
        },
        contract_size=plain.contract_size,
        inverse=plain.inverse,
        tiers=tuple(tiers),
        fees=tuple(
            FeeTier(maker_bps=float(maker), taker_bps=float(taker), from_volume=float(start))
            for maker, taker, start in fees
        ),
        expires_at=FIRST_CLOSED_AT + HOUR * int(given["expires"]) if "expires" in given else None,
    )


def _bars(rows: list[Row], instrument: Instrument, given: Row) -> Bars:
    opened, closed = (_column(rows, name)[:, None] for name in ("open", "close"))
    listed = np.arange(len(rows))[:, None] <= int(given.get("listed", f"until {len(rows)}").split()[1])
    bars = market([instrument], opened, closed, rate=_column(rows, "rate")[:, None], listed=listed)
    high, low, mark = (_column(rows, name)[:, None] for name in ("high", "low", "mark"))
    marked = {"mark_close": mark} if np.isfinite(mark).any() else {}
    return Bars(
        **{
            name: getattr(bars, name)
            for name in bars.__dataclass_fields__
            if name not in ("high", "low", "gauges")
        },
        high=np.where(np.isnan(high), bars.high, high),
        low=np.where(np.isnan(low), bars.low, low),
        gauges=marked,
    )


def _fills(row: int, text: str) -> list[Fill]:
    pattern = r"([-+][\d.]+) @ ([\d.]+) fee ([\d.]+) gain (-?[\d.]+) (\w+)"
    return [
        Fill(row=row, quantity=float(q), price=float(p), fee=float(f), realized=float(g), cause=cause)
        for q, p, f, g, cause in (re.fullmatch(pattern, told).groups() for told in text.split("; ") if told)
    ]


def _column(rows: list[Row], name: str, default: float = NAN) -> np.ndarray:
    return np.array([float(row.get(name) or default) for row in rows])


def _table(text: str) -> list[Row]:
    """The first table of a text, its cells by their headings."""
    lines = re.search(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)[0].splitlines()
    heads, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(heads, cells, strict=True)) for cells in body]
