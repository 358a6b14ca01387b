"""How much memory the next run gets when the last one had too little."""

import re
from decimal import Decimal

_UNITS = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMGTP", start=1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTP", start=1)},
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?)(|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)")
_MI = 1024**2


def parse_memory(quantity: str) -> int:
    """Bytes of a Kubernetes quantity such as 2Gi.

    Raises:
        ValueError: it is none, or of a kind that nobody writes memory in (m, e6).
    """
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is no amount of memory, such as 2Gi or 500M")
    number, unit = found.groups()
    return int(Decimal(number) * _UNITS[unit])


def more_memory(limit: str, cap: str) -> str | None:
    """Twice the limit, at most the cap, in whole Mi; None when there is no more to have."""
    now_bytes = parse_memory(limit)
    more_bytes = min(2 * now_bytes, parse_memory(cap))
    return f"{more_bytes // _MI}Mi" if more_bytes // _MI > now_bytes // _MI else None
