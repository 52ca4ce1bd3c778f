"""Connections over the API: named without their credentials, and asked."""

from pathlib import Path

from reactor.tests.servers.process import free_port
from reactor.tests.web.site import Site


async def test_they_are_listed_shown_and_asked_and_no_credential_leaves(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "reactor.yaml").write_text(
        "connections:\n"
        "  books: {sqlite: {path: books.db}}\n"
        f"  far: {{postgres: {{host: 127.0.0.1, port: {port}, database: d, user: u, password: hush-hush}}}}\n"
    )
    async with Site(project=tmp_path) as site:
        books = {"name": "books", "kind": "sqlite", "set_by": f"{tmp_path / 'reactor.yaml'}:2:10"}
        far = {"name": "far", "kind": "postgres", "set_by": f"{tmp_path / 'reactor.yaml'}:3:8"}
        assert await site.get("/api/v1/connections") == {"items": [books, far], "next": None}
        assert await site.get("/api/v1/connections/far") == far
        asked = await site.post("/api/v1/connections/books/test")
        assert (asked.status, asked.json["name"]) == (200, "books")
        assert asked.json["answer"].startswith("SQLite ")
        away = await site.post("/api/v1/connections/far/test")
        assert away.status == 502
        assert away.problem()["code"] == "connection"
        assert str(port) in away.problem()["detail"]
        assert b"hush-hush" not in away.body
        missing = await site.post("/api/v1/connections/book/test")
        assert missing.problem() == {
            "status": 404,
            "code": "not_found",
            "detail": "there is no connection `book`",
            "hint": "did you mean books?",
        }
