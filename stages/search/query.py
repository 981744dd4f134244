"""What one does with a finished run: embed pictures, search for a person.

trackweave embed pictures/ --run runs/mine --out features.parquet
trackweave search person.jpg --run runs/mine
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError, is_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from stages.association.same_person import Calibration
    from stages.network.backbone import ReidNetwork

# OpenCV reads this when it is first imported, and allows a thousand million otherwise: a file of 300 bytes then takes 3 GB.
_MOST_PIXELS = 1 << 27
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(_MOST_PIXELS))

_MOST_BYTES = 1 << 28  # a recording that is taken for a picture is not read into memory
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_MOST_SHOWN = 60  # people on a contact sheet
_AT_ONCE = 512  # pictures decoded before they pass the network


def embed(options: argparse.Namespace) -> None:
    """Features of pictures of one person each, as Parquet: path, feature (fixed_size_list<float32>[D], length 1)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out: Path = options.out
    if os.path.exists(out):
        raise UserError(f"--out {out}: is there already; name another file or move it away.")
    paths = picture_paths(options.images)
    network = exported_network(options.run)
    schema = pa.schema([("path", pa.string()), ("feature", pa.list_(pa.float32(), network.dim))])
    scratch = out.with_name(out.name + ".part")
    done = 0
    try:
        with pq.ParquetWriter(scratch, schema, compression="zstd") as writer:
            for start in range(0, len(paths), _AT_ONCE):
                read, features = features_of(paths[start : start + _AT_ONCE], network, options.device)
                columns = [
                    pa.array([str(p) for p in read], pa.string()),
                    pa.FixedSizeListArray.from_arrays(pa.array(features.ravel(), pa.float32()), network.dim),
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
                done += len(read)
        if not done:
            raise UserError(f"{' '.join(options.images)}: none of {len(paths)} pictures can be read.")
        scratch.rename(out)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error}).") from error
    finally:
        scratch.unlink(missing_ok=True)
    print(f"{done} pictures, {network.dim} values each: {out}")


def search(options: argparse.Namespace) -> None:
    """Who is in the picture (or in several of one person), and where and when they were seen on the site."""
    import numpy as np

    from pipeline import schema
    from pipeline.manifests import GALLERY
    from stages.search import gallery

    if options.count < 1:
        raise UserError(f"--count {options.count}: how many people to show, 1 or more.")
    network = exported_network(options.run)
    folder = options.run / "export"
    paths = picture_paths(options.query)
    read, features = features_of(paths, network, options.device)
    if not read:
        raise UserError(f"{' '.join(options.query)}: cannot be read as a picture; name a JPEG or PNG file.")
    mean = features.mean(0, keepdims=True)
    mean /= max(float(np.linalg.norm(mean)), 1e-12)
    try:
        table = schema.read(GALLERY, folder / GALLERY.file)
        if table.empty:
            raise UserError(f"{options.run}: its gallery is empty, nobody was tracked there.")
        cosine, row = gallery.search(folder, mean, len(table))
    except (schema.ManifestError, RuntimeError):  # RuntimeError: of faiss, for an index that is none
        raise UserError(
            f"{folder / GALLERY.file}: damaged, or the index beside it; make both anew with `make export RUN={options.run} "
            "FORCE=export`."
        ) from None
    found = gallery.people(table, cosine[0], row[0]).head(options.count)
    kind = "pictures" if len(read) == 1 else "tracklets"
    known = calibration(folder, kind)
    found["probability"] = known.probability(found.cosine.to_numpy()) if known else float("nan")
    sheet = contact_sheet(read, found, options.run, hide=options.blur)
    if options.json:
        columns = ["identity", "probability", "cosine", "tracklet_id", "camera_id", "t_start_us", "t_end_us"]
        records = found[columns].astype(object).where(found[columns].notna(), None).to_dict("records")
        print(json.dumps({"people": records, "sheet": str(sheet)}, default=float))
        return
    print(f"{'person':>8} {'p(same)':>8} {'cosine':>7}  best tracklet, seen (UTC)")
    for person in found.to_dict("records"):
        print(
            f"{person['identity']:>8} {person['probability']:>8.2f} {person['cosine']:>7.3f}  "
            f"{person['tracklet_id']}, {_when(person['t_start_us'])} to {_when(person['t_end_us'], '%H:%M:%S')}"
        )
    print(f"pictures: {sheet}")


def picture_paths(words: list[str]) -> list[Path]:
    """Pictures of folders (searched below), globs and files, sorted, each once.

    Raises:
        UserError: a word names nothing, or a picture has a name that no table can hold.
    """
    from data.videos import globbed

    found: list[Path] = []
    for word in words:
        path = Path(word)
        if os.path.isdir(path):
            here = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
        else:
            here = [path] if os.path.isfile(path) else sorted(globbed(word))
        if not here:
            raise UserError(
                f"{word}: no such picture, and no folder or glob with any ({', '.join(sorted(PICTURES))})."
            )
        for picture in here:
            if not is_text(str(picture)):
                raise UserError(
                    f"{picture}: its name holds characters that are no text; rename the file or its folder."
                )
        found += here
    return list(dict.fromkeys(found))


def exported_network(run: Path) -> ReidNetwork:
    """The run's chosen network.

    Raises:
        UserError: the run did not get that far.
    """
    from stages.network import backbone

    path = run / "export" / "model.pt"
    if not os.path.isfile(path):
        raise UserError(f"{path}: not there; run `make export RUN={run}` (or make all) first.")
    return backbone.load(path)


def features_of(
    paths: list[Path], network: ReidNetwork, device: str
) -> tuple[list[Path], npt.NDArray[np.float32]]:
    """The pictures that could be read, and their (N, D) features; the others are named on standard error."""
    import numpy as np

    from stages.network.embedding import embed_images
    from stages.network.images import resized

    read, images = [], []
    for path in paths:
        try:
            image = _decoded(path)
        except ValueError as error:
            print(f"warning: {path}: {error}; left out.", file=sys.stderr)
            continue
        read.append(path)
        images.append(resized(np.ascontiguousarray(image[..., ::-1]), network.image_size))
    if not images:
        return [], np.zeros((0, network.dim), np.float32)
    return read, embed_images(network, np.asarray(np.stack(images), np.uint8), device)


def _decoded(path: Path) -> npt.NDArray[np.uint8]:
    """(H, W, 3) BGR.

    Raises:
        ValueError: what is no picture, may not be read, or is larger than any picture of a person.
    """
    import cv2
    import numpy as np

    try:
        if not 0 < (size := path.stat().st_size) <= _MOST_BYTES:
            raise ValueError(f"cannot be read as a picture, it has {size} bytes")
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except OSError as error:
        raise ValueError(f"cannot be read as a picture ({error.strerror})") from None
    except cv2.error:
        raise ValueError(
            "cannot be read as a picture, it says that it has more pixels than are read"
        ) from None
    if image is None:
        raise ValueError("cannot be read as a picture")
    return np.asarray(image, np.uint8)


def calibration(folder: Path, kind: str) -> Calibration | None:
    """The run's own relation of cosine and probability, from its model card; None where it could not tell."""
    from stages.association.evidence import Appearance
    from stages.association.same_person import Calibration

    card = folder / "model_card.json"
    if not card.is_file():
        raise UserError(
            f"{card}: not there; make it anew with `make export RUN={folder.parent} FORCE=export`."
        )
    try:
        facts: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))["same_person"].get(kind)
        return Calibration(Appearance(**facts["appearance"]), facts["same_fraction"]) if facts else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UserError(
            f"{card}: damaged; make it anew with `make export RUN={folder.parent} FORCE=export`."
        ) from None


def contact_sheet(
    query: list[Path], found: pd.DataFrame, run: Path, height_px: int = 192, hide: bool = False
) -> Path:
    """The query's pictures and each person's best, left to right, as one JPEG that only its owner can read.

    hide: heads are made unrecognisable.
    """
    import cv2
    import numpy as np

    from data.crops import read_crop
    from stages.reporting.privacy import redact_head
    from stages.reporting.thumbs import write_private

    def fitted(image: npt.NDArray[np.uint8], caption: str) -> npt.NDArray[np.uint8]:
        width = int(np.clip(round(image.shape[1] * height_px / image.shape[0]), height_px // 4, height_px))
        tile = np.full((height_px + 18, max(width, 96), 3), 255, np.uint8)
        image = redact_head(image) if hide else image
        tile[:height_px, :width] = cv2.resize(image, (width, height_px), interpolation=cv2.INTER_AREA)
        cv2.putText(
            tile, caption, (2, height_px + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA
        )
        return tile

    tiles = []
    for path in query[:4]:
        tiles.append(fitted(_decoded(path), "asked for"))
    for person in found.head(_MOST_SHOWN).to_dict("records"):
        try:
            crop = read_crop(run / person["shard"], int(person["offset"]), int(person["size"]))
        except (OSError, ValueError):
            continue  # crops may have been removed on purpose
        tiles.append(
            fitted(
                np.ascontiguousarray(crop[..., ::-1]), f"{person['identity']}: {person['probability']:.2f}"
            )
        )
    gap = np.full((height_px + 18, 6, 3), 255, np.uint8)
    row = np.concatenate([part for tile in tiles for part in (tile, gap)], axis=1)
    digest = hashlib.sha256("\n".join(str(p.resolve()) for p in query).encode()).hexdigest()[:8]
    out = run / "search" / f"{query[0].stem[:50]}-{digest}.jpg"
    out.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise RuntimeError(f"{out}: OpenCV could not encode a picture of shape {row.shape}")
    write_private(out, data.tobytes())
    return out


def _when(t_us: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    import datetime as dt

    return dt.datetime.fromtimestamp(t_us / 1e6, dt.UTC).strftime(form)
