"""Why a session and the backtest booked other money, cause by cause."""
