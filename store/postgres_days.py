"""The tables of dedupe records of a PostgreSQL store: known to all its writers, made before they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .postgres_sql import connect, goes_again, hang_up


class Days:
    """Which tables there are, newest first; other nodes make and drop them too."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.tables: Sequence[str] = ()
        self._making = asyncio.Lock()

    async def refresh(self) -> None:
        """Look again."""
        connection = await connect(self._url)
        try:
            sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'seen\\_%'"
            self.tables = sorted([row[0] for row in await connection.fetch(sql)], reverse=True)
        finally:
            await hang_up(connection)

    async def make(self, tables: Sequence[str]) -> None:
        """Make those that are missing; another node may do it at the same moment."""
        if all(table in self.tables for table in tables):
            return
        async with self._making:
            if all(table in self.tables for table in tables):
                return
            connection = await connect(self._url)
            try:
                for table in tables:
                    try:
                        await connection.execute(
                            f"CREATE TABLE IF NOT EXISTS {table} (hash bytea PRIMARY KEY, event bigint NOT NULL)"
                        )
                    except Exception as error:
                        if not goes_again(error):
                            raise
            finally:
                await hang_up(connection)
            await self.refresh()
