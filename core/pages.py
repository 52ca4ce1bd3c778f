"""Pages of lists, newest first or by name: what may be asked for, judged alike in every list."""

from __future__ import annotations

from collections.abc import Callable

from .errors import PermanentError
from .limits import PAGE_ROWS_MAX


class BadPage(PermanentError):
    """A list was asked for in a way that means nothing: its cursor, its length, a filter."""

    code = "invalid_request"


def page_rows(limit: int) -> int:
    """The rows of a page: as many as asked for, PAGE_ROWS_MAX at most. Raises BadPage below one."""
    if limit < 1:
        raise BadPage(f"`limit` must be at least 1; found {limit}", hint=f"1 to {PAGE_ROWS_MAX} rows are a page")
    return min(limit, PAGE_ROWS_MAX)


def page_before(cursor: str, number: Callable[[str], int | None]) -> int:
    """The number that the rows of a page stand before, as `number` reads it in the cursor; 0: no cursor, so the first
    page. Raises BadPage.
    """
    before = number(cursor) if cursor else 0
    if before is None:
        raise bad_cursor(cursor)
    return before


def bad_cursor(cursor: str) -> BadPage:
    """What is said to a cursor that no page can have given."""
    return BadPage(f"`{cursor[:80]}` is no cursor: pass on the `next` of the page before")
