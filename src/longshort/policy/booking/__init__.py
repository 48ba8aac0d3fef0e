"""The only arithmetic of money: what wishes, fills, funding, margin and positions are worth, and a history of them.

The ledger and the backtest both book through these functions and share no other.
"""

from longshort.policy.booking.compiled import (
    compiled as compiled,
)
from longshort.policy.booking.fills import (
    Deal as Deal,
)
from longshort.policy.booking.fills import (
    book_fill as book_fill,
)
from longshort.policy.booking.fills import (
    covered_units as covered_units,
)
from longshort.policy.booking.fills import (
    margin_left as margin_left,
)
from longshort.policy.booking.fills import (
    refusal as refusal,
)
from longshort.policy.booking.fills import (
    slipped as slipped,
)
from longshort.policy.booking.history import (
    book as book,
)
from longshort.policy.booking.history import (
    forget_old_fills as forget_old_fills,
)
from longshort.policy.booking.history import (
    mark_ticks as mark_ticks,
)
from longshort.policy.booking.history import (
    trades_through as trades_through,
)
from longshort.policy.booking.inside import (
    alone_ticks as alone_ticks,
)
from longshort.policy.booking.inside import (
    exit_of as exit_of,
)
from longshort.policy.booking.margin import (
    bankrupt_ticks as bankrupt_ticks,
)
from longshort.policy.booking.margin import (
    exit_levels as exit_levels,
)
from longshort.policy.booking.margin import (
    exit_ticks as exit_ticks,
)
from longshort.policy.booking.margin import (
    leverage_cap as leverage_cap,
)
from longshort.policy.booking.margin import (
    liquidation_ticks as liquidation_ticks,
)
from longshort.policy.booking.margin import (
    maintenance_units as maintenance_units,
)
from longshort.policy.booking.margin import (
    margin_added as margin_added,
)
from longshort.policy.booking.margin import (
    margin_kept as margin_kept,
)
from longshort.policy.booking.worth import (
    entry_after as entry_after,
)
from longshort.policy.booking.worth import (
    fee_rates as fee_rates,
)
from longshort.policy.booking.worth import (
    fee_units as fee_units,
)
from longshort.policy.booking.worth import (
    fill_ticks as fill_ticks,
)
from longshort.policy.booking.worth import (
    funding_units as funding_units,
)
from longshort.policy.booking.worth import (
    mark_all as mark_all,
)
from longshort.policy.booking.worth import (
    money as money,
)
from longshort.policy.booking.worth import (
    notional_units as notional_units,
)
from longshort.policy.booking.worth import (
    order_lots as order_lots,
)
from longshort.policy.booking.worth import (
    price_of as price_of,
)
from longshort.policy.booking.worth import (
    price_ticks as price_ticks,
)
from longshort.policy.booking.worth import (
    quantity_of as quantity_of,
)
from longshort.policy.booking.worth import (
    realized_units as realized_units,
)
from longshort.policy.booking.worth import (
    slippage_units as slippage_units,
)
from longshort.policy.booking.worth import (
    unrealized_total as unrealized_total,
)
from longshort.policy.booking.worth import (
    unrealized_units as unrealized_units,
)
