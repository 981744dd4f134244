"""What is valid in a site file and still looks wrong: for `topology validate`."""

from __future__ import annotations

import math

import numpy as np

from camera_topology.feet import ground_matrix, on_ground
from camera_topology.site import Site

# A way may be a little shorter than the bee line between two positions: a view is not a point.
_SHORTER = 0.8
_OFF_M = 1.0


def doubts(site: Site) -> list[str]:
    """Sentences, one for each thing a person should look at."""
    return [*site.unused, *_cameras(site), *_links(site), *_ground(site), *_pictures(site)]


def _cameras(site: Site) -> list[str]:
    linked = {
        camera
        for link in site.facts.links
        if link.relation != "forbidden"
        for camera in (link.from_, link.to)
    }
    lines = []
    if linked:
        alone = [camera for camera in site.cameras if camera not in linked]
        lines += [
            f"camera '{camera}' has no link, so nobody is expected to come from or go to any other."
            for camera in alone
        ]
        groups = _groups(site)
        if len(groups) > 1:
            shown = "; ".join(", ".join(group) for group in groups)
            lines.append(f"the links fall into {len(groups)} groups with no way between them: {shown}.")
    untimed = [camera.id for camera in site.facts.cameras if camera.clock.offset_std_s is None]
    if 0 < len(untimed) < len(site.cameras):
        lines.append(
            f"{', '.join(untimed)}: no clock.offset_std_s, so no certain difference is drawn between people seen there and elsewhere at once."
        )
    return lines


def _groups(site: Site) -> list[list[str]]:
    """Cameras that links join, directly or through others."""
    group = {camera: {camera} for camera in site.cameras}
    for link in site.facts.links:
        if link.relation != "forbidden" and group[link.from_] is not group[link.to]:
            joined = group[link.from_] | group[link.to]
            for camera in joined:
                group[camera] = joined
    found = {id(members): sorted(members) for members in group.values() if len(members) > 1}
    return sorted(found.values())


def _links(site: Site) -> list[str]:
    lines = []
    for (from_, to), link in site.links.items():
        name = f"link {from_} → {to}"
        back = site.links.get((to, from_))
        if back is None and link.relation in ("adjacent", "overlap"):
            lines.append(f"{name} has no way back; bidirectional: true if people may walk both ways.")
        if back is not None and back is not link and from_ < to and back.relation != link.relation:
            lines.append(f"{name} is {link.relation}, the way back {back.relation}.")
        a, b = site.camera(from_).position, site.camera(to).position
        if a and b and link.distance_m and from_ < to:
            line_m = math.hypot(a.x_m - b.x_m, a.y_m - b.y_m)
            if link.distance_m < _SHORTER * line_m:
                lines.append(
                    f"{name}: distance_m {link.distance_m:g} is shorter than the {line_m:.0f} m between the two positions."
                )
        if link.relation == "adjacent" and link.distance_m is None and link.transit_s is None and from_ < to:
            lines.append(
                f"{name} tells neither distance_m nor transit_s, so walking times say nothing there."
            )
    return lines


def _ground(site: Site) -> list[str]:
    """Homographies that cannot be right, and overlapping views that none tells apart."""
    lines = []
    for camera in site.facts.cameras:
        if 0 < len(camera.points) < 4 and camera.homography is None:
            lines.append(
                f"camera '{camera.id}': {len(camera.points)} points are too few for a homography; give four or more."
            )
            continue
        if not camera.has_ground:
            continue
        matrix = ground_matrix(camera)
        if matrix is None:
            what = (
                "the order of its numbers"
                if camera.homography
                else "that no three of its points lie on one line"
            )
            lines.append(
                f"camera '{camera.id}': its homography maps the picture to a line, and is not used; check {what}."
            )
            continue
        if camera.points:
            image, world = (np.array([getattr(p, s) for p in camera.points]) for s in ("image", "world"))
            off = np.hypot(*(on_ground(matrix, image) - world).T)
            worst = int(np.nanargmax(np.where(np.isnan(off), np.inf, off)))
            if not off[worst] < _OFF_M:
                at = ", ".join(f"{v:g}" for v in camera.points[worst].image)
                lines.append(
                    f"camera '{camera.id}': its point at pixel {at} lies {off[worst]:.1f} m off what the others say."
                )
    placed = {c.id for c in site.facts.cameras if ground_matrix(c) is not None}
    lines += [
        f"link {link.from_} → {link.to}: the views overlap, and without a homography of both nobody is told apart there by place."
        for link in site.facts.links
        if link.relation == "overlap" and not {link.from_, link.to} <= placed
    ]
    return lines


def _pictures(site: Site) -> list[str]:
    masks = ((camera, site.view(camera).mask) for camera in site.cameras)
    return [
        f"camera '{camera}': its mask {mask} is not there."
        for camera, mask in masks
        if mask and not mask.is_file()
    ]
