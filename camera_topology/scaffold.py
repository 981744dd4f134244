"""A site file to begin with, from what names tell: for `topology init`."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

_HEAD = """\
# A site file made by `topology init`. Everything but a camera's id may be left out; what is wrong is said with its line.
# Worth filling in: how long the ways between cameras are, in metres as people walk, and how far each clock may be off.
version: 1
site: {{timezone: {timezone}}}     # of times that are written without a zone
cameras:
"""
_LINKS = """\
# One entry a way that people walk without passing another camera; both directions unless bidirectional: false.
# links:
#   - {{from: {a}, to: {b}, distance_m: 40}}
defaults: {{unlisted_pairs: weak}}    # allow: as if linked; forbid: nobody walks where no link is
"""


def scaffold(cameras: Mapping[str, str], timezone: str = "UTC") -> str:
    """The text of a site file.

    Args:
        cameras: id → glob of its videos, relative to where the file will stand; '' where its name alone tells.
    """
    lines = []
    for camera_id, glob in cameras.items():
        flow = yaml.safe_dump(
            {"id": camera_id, **({"videos": [glob]} if glob else {})},
            default_flow_style=True,
            allow_unicode=True,
            width=10_000,
        )
        lines.append(f"  - {flow.strip()}\n")
    names = [
        yaml.safe_dump(name, allow_unicode=True).splitlines()[0] for name in (*cameras, "other", "other")
    ][:2]
    return _HEAD.format(timezone=timezone) + "".join(lines) + _LINKS.format(a=names[0], b=names[1])
