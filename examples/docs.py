"""Steps of ai_analysis_workflow: documents from S3, clean text, and charts made of letters."""

from __future__ import annotations

import re
import urllib.request
import xml.etree.ElementTree as ElementTree  # a listing of our own storage
from typing import Any
from urllib.parse import quote

from reactor import StepError

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def fetch(storage: str, bucket: str, listing: str) -> list[dict[str, str]]:
    """GetObject for every key of a ListObjectsV2 answer."""
    keys = [key.text or "" for key in ElementTree.fromstring(listing).iter(f"{NAMESPACE}Key")]  # noqa: S314  # as above
    if not keys:
        raise StepError("no_documents", f"the bucket {bucket} has no document below this prefix")
    found: list[dict[str, str]] = []
    for key in keys:
        url = f"{storage}/{quote(bucket)}/{quote(key)}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # an address of the project
            found.append({"key": key, "content": answer.read().decode()})
    return found


def clean(docs: list[dict[str, str]]) -> dict[str, Any]:
    """One text of all, without markup and blank space."""
    texts = [re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", doc["content"])).strip() for doc in docs]
    return {"text": "\n".join(texts), "documents": len(texts)}


def charts(answers: dict[str, str]) -> dict[str, str]:
    """A section for each answer, with a bar as long as the answer."""
    parts = [f"# {name.capitalize()}\n\n{text}\n\n    {'#' * min(len(text), 60)}" for name, text in answers.items()]
    return {"markdown": "\n\n".join(parts)}
