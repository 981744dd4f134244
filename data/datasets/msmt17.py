"""MSMT17 (Wei et al., CVPR 2018): fifteen cameras, four days, one image a tracklet.

Lists name every image and its person, counted anew in each; the third field of a name is the camera:
``0000_000_01_0303morning_0008_0.jpg``. The usual unsupervised protocol trains on train and validation images together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.datasets.benchmark import Seen, inside, lines
from pipeline.errors import UserError, shown

_WHAT = "MSMT17 has list_train.txt, list_val.txt, list_query.txt and list_gallery.txt beside its folders train and test"
_TEST_FROM = (
    10_000  # persons of the test lists are other people than those of the same number in the train lists
)


def read(root: Path) -> Iterator[Seen]:
    """32,621 images to train (1,041 persons), 11,659 queries, 82,161 in the gallery."""
    for name, part, folder in (
        ("train", "train", "train"), ("val", "train", "train"), ("query", "test", "test"), ("gallery", "test", "test"),
    ):  # fmt: skip
        path = root / f"list_{name}.txt"
        home = next((root / f for f in (folder, f"mask_{folder}_v2") if (root / f).is_dir()), root / folder)
        for line in lines(path, _WHAT):
            yield _seen(home, line, name, part)


def _seen(home: Path, line: str, name: str, part: str) -> Seen:
    try:
        file, person = line.rsplit(maxsplit=1)
        camera = Path(file).name.split("_")[2]
        number = int(person)
    except (ValueError, IndexError):
        raise UserError(
            f"{home.parent / f'list_{name}.txt'}: cannot read {shown(line)}; wanted are lines as 0000/0000_000_01_0303morning_0008_0.jpg 0."
        ) from None
    pid = number + (_TEST_FROM if part == "test" else 1)
    return Seen(
        f"{part}/{name}/{Path(file).stem}",
        f"c{camera}",
        pid,
        part,
        name == "query",
        name == "gallery",
        [inside(home, file, home.parent / f"list_{name}.txt")],
    )
