"""Templates to pages. Everything is escaped; a content policy forbids any source but the page's own files, and any script but ours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from stages.reporting import thumbs

_HERE = Path(__file__).parent


def environment() -> jinja2.Environment:
    """The templates of this folder; a name that is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def write(templates: jinja2.Environment, template: str, path: Path, context: Mapping[str, Any]) -> None:
    """One page, readable by its owner only."""
    script = templates.get_template("_script.html").render()
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src 'self' file:; media-src 'self' file:; style-src 'self' file:; style-src-attr 'unsafe-inline'; "
        f"script-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    )
    html = templates.get_template(template).render({**context, "script": Markup(script), "policy": policy})
    thumbs.write_private(path, html.encode())


def write_style(folder: Path) -> None:
    """``report.css`` into the folder that pages take it from."""
    thumbs.write_private(folder / "report.css", (_HERE / "report.css").read_bytes())
