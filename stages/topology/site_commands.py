"""`topology init | validate | schema | convert | learn | show` on the command line."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError

if TYPE_CHECKING:
    from camera_topology.site import Site


def init(options: argparse.Namespace) -> None:
    """Print a site file with a camera for each folder or name of ``options.videos``."""
    from camera_topology.scaffold import scaffold
    from camera_topology.site import without_file
    from camera_topology.site_schema import known_timezone
    from data.videos import expand_videos
    from stages.ingest import camera_of, common_root

    try:
        known_timezone(options.timezone)
    except ValueError as error:
        raise UserError(f"--timezone: {error}.") from None
    paths, site = expand_videos(options.videos), without_file([])
    root = common_root(paths)
    base = Path(options.videos).resolve() if Path(options.videos).is_dir() else Path.cwd()
    folder = {camera_of(path, root, site): os.path.relpath(path.parent, base) for path in reversed(paths)}
    several = {place for place in folder.values() if list(folder.values()).count(place) > 1}
    globs = {}
    for camera, place in sorted(folder.items()):
        name, inside = glob.escape(camera), glob.escape(place)
        globs[camera] = (f"{inside}/{name}[!0-9]*" if place in several else f"{inside}/*").removeprefix("./")
        # The reader takes the longest id that a name begins with, where no glob says otherwise.
        if any(
            other != camera and (other.startswith(camera) or camera.startswith(other)) for other in folder
        ):
            globs[camera] = ""
    print(scaffold(globs, options.timezone), end="")


def validate(options: argparse.Namespace) -> None:
    """Print what looks wrong in the site file ``options.file``.

    Raises:
        UserError: it is not valid; names line, column and key.
    """
    from camera_topology import site
    from camera_topology.check import doubts

    found = doubts(site.load(options.file))
    for line in found or ["nothing to complain of."]:
        print(f"{options.file}: {line}")


def schema(options: argparse.Namespace) -> None:
    """Print the JSON Schema of site files."""
    from camera_topology.site_schema import json_schema

    print(json_schema(), end="")


def convert(options: argparse.Namespace) -> None:
    """Print ``options.path`` as a site file, or write that site file in another format.

    Raises:
        UserError: it is damaged or in no known format, or lacks what the other format needs.
    """
    from camera_topology.convert.formats import as_site, from_site

    if bool(options.to) != bool(options.out):
        raise UserError("convert: --to and --out go together: the format, and where to write it.")
    if not options.to:
        print(as_site(options.path, options.from_), end="")
        return
    if options.from_:
        raise UserError(
            "convert: --from leads to a site file and --to away from one; do one after the other."
        )
    for left in from_site(options.path, options.to, options.out):
        print(f"{options.path}: not in {options.out}: {left}.", file=sys.stderr)
    print(f"{options.to}: {options.out}")


def learned(run: Path, site: Site) -> None:
    """Print what the people of a finished run say of clocks and ways, and write the patch."""
    from stages.topology.learn import learn, summary
    from stages.topology.patch import patch

    offsets, ways, _ = learn(run, site)
    for line in summary(offsets, ways):
        print(line)
    place = run / "topology" / "patch.yaml"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(patch(offsets, ways, site), encoding="utf-8")
    print(f"proposed changes: {place}")


def show(run: Path, site: Site) -> None:
    """Write the page of clocks and ways of a finished run, and print where it is."""
    from pipeline import schema as tables
    from pipeline.manifests import VIDEOS
    from stages.topology.learn import learn
    from stages.topology.show import write_page
    from stages.training.training_part import clock_std_s

    offsets, ways, walks = learn(run, site)
    clocks = clock_std_s(tables.read(VIDEOS, run / "ingest" / VIDEOS.file))
    page = write_page(run / "topology", site.facts.site.name or run.name, walks, offsets, ways, site, clocks)
    print(f"topology: {page.resolve()}")
