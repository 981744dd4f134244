"""What a run depends on from outside the chain, and how each of it is fingerprinted.

Besides `graph`, this is the one module of the frame that knows our other packages: it turns the inputs of a run (`pipeline.inputs`)
into the objects that stages ask for by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.request import Request

_NEVER_US = 2**62


class Sources:
    """Values by name (`value`) and what of them decides a result (`fingerprint`)."""

    def __init__(
        self,
        request: Request,
        run_dir: Path,
        *,
        seed: int,
        device: str,
        holdout_fraction: float,
        image_size: tuple[int, int],
    ) -> None:
        self.request = request
        self.run_dir = run_dir
        self.seed = seed
        self.device = device
        self.holdout_fraction = holdout_fraction
        self.image_size = image_size

    def value(self, name: str) -> Any:
        getters: dict[str, Callable[[], Any]] = {
            "videos": lambda: self.videos,
            "site": lambda: self.site,
            "detector": lambda: self.detector,
            "weights": lambda: self.weights,
            "backbone": lambda: self.backbone,
            "gallery": lambda: self.old_export,
            "dataset": lambda: self.dataset,
            "annotations": lambda: self.annotated,
            "purged": lambda: self.purged,
            "ground_truth": lambda: self.ground_truth,
            "camera_labels": lambda: self.camera_labels,
            "cut": lambda: self.cut,
            "image_size": lambda: self.image_size,
            "seed": lambda: self.seed,
            "device": lambda: self.device,
        }
        return getters[name.partition(".")[0]]()

    def check(self, names: Iterable[str]) -> None:
        """Raise UserError for a missing source now rather than after hours, when its stage's turn has come."""
        names = set(names)
        for name in sorted(names - {"cut"}):  # a cut may follow from what ingest finds
            self.value(name)
        for camera_id in self.site.cameras if "site.view" in names else ():
            mask = self.site.view(camera_id).mask
            if mask is not None and not mask.is_file():
                raise UserError(
                    f"{mask}: no such file; it is the mask of camera '{camera_id}' in {self.site.path}."
                )

    def check_labels(self, names: Iterable[str]) -> None:
        """Raise UserError for damaged labels. It reads every file, so ask for the sources of steps that are to run only."""
        for name in sorted({"ground_truth", "camera_labels"}.intersection(names)):
            if (path := self.value(name)) is not None:
                from data.datasets.truth import check_truth

                check_truth(path, self.videos, name.upper())

    def fingerprint(self, name: str) -> Any:
        if name == "videos":
            return [[str(p), self.digest(p)] for p in self.videos]
        if name == "site.clock":
            return self.site.clock_view()
        if name == "site.prior":
            return self.site.prior_view()
        if name == "site.view":
            return {camera: parts for camera in self.site.cameras if (parts := self._view(camera))} or None
        if name == "site.map":
            return self.site.map_view()
        if name == "cut":
            return self.site.cut() or {"holdout_fraction": self.holdout_fraction}
        if name == "dataset":
            return [*(str(part) for part in self.dataset), self.dataset_state]
        if name == "annotations":
            return self.annotated or None  # nobody was asked: as in runs from before there was anybody to ask
        if name == "purged":
            from pipeline.digest import text_digest

            return text_digest(self.purged) if self.purged else None  # nobody: as before there was a list
        if name == "device":
            return self.device.partition(":")[0]
        value = self.value(name)
        return self.digest(value) if isinstance(value, Path) else value

    def _view(self, camera_id: str) -> list[Any]:
        """What decides which part of a camera's picture counts; nothing where all of it does."""
        view = self.site.view(camera_id)
        if view.whole:
            return []
        mask = self.digest(view.mask) if view.mask and view.mask.is_file() else str(view.mask or "")
        return [view.roi, view.ignore, mask, view.min_person_height_px]

    @cached_property
    def videos(self) -> list[Path]:
        from data.videos import expand_videos

        if not self.request["videos"]:
            raise UserError(
                "VIDEOS is not set: name a folder, a glob, a list file or a topology of recordings."
            )
        return expand_videos(self.request["videos"])

    @cached_property
    def site(self) -> Any:
        from camera_topology import site

        if self.request["topology"]:
            loaded = site.load(Path(self.request["topology"]))
        elif Path(self.request["videos"]).suffix in {".yaml", ".yml"}:
            loaded = site.load(Path(self.request["videos"]))
        else:
            return site.without_file([])
        return loaded

    @property
    def dataset(self) -> tuple[str, Path, int]:
        """Name, folder and trial of a published benchmark, DATASET or SOURCE."""
        name = self.request["dataset"] or self.request["source"]
        if not self.request["root"]:
            word = "DATASET" if self.request["dataset"] else "SOURCE"
            raise UserError(f"{word}={name}: set ROOT to the folder it was unpacked to.")
        if self.request["trial"] and not self.request["trial"].isdecimal():
            raise UserError(f"TRIAL={self.request['trial']}: wants a number from 0 on.")
        from data.datasets.benchmark import check

        found = name, Path(self.request["root"]).resolve(), int(self.request["trial"] or 0)
        check(*found)
        return found

    @property
    def annotated(self) -> list[tuple[str, str, bool]]:
        """Pairs of tracklets that a person said are, or are not, one person (`annotate`), where learning may know."""
        from data import pair_annotations

        return pair_annotations.links(self.run_dir / pair_annotations.PLACE)

    @property
    def purged(self) -> list[Any]:
        """Where purged people stood (`data.redaction_list.Piece`): no picture is made of them."""
        from data import redaction_list

        return redaction_list.read(self.run_dir / redaction_list.PLACE)

    @cached_property
    def dataset_state(self) -> str:
        """Digest of what changes when files of the benchmark come or go: its folders' and its lists' times."""
        import os

        from pipeline.digest import text_digest

        root, found = self.dataset[1], []
        for folder, below, files in os.walk(root):
            below.sort()
            found.append((folder, os.stat(folder).st_mtime_ns, len(files)))
            lists = (f for f in sorted(files) if f.endswith((".txt", ".mat", ".list")))
            found += [(f, os.stat(os.path.join(folder, f)).st_mtime_ns, 0) for f in lists]
        return text_digest(found)

    @property
    def detector(self) -> Path | str:
        # A name is downloaded by ultralytics on first use; without network its adapter says what to do.
        return _existing_or_name(self.request["detector"] or "yolo11n.pt", "DETECTOR")

    @property
    def old_export(self) -> Path | None:
        """The folder `export` of the run that MODEL names: its network is used as it is, its people are known."""
        if not self.request["model"]:
            return None
        given = Path(self.request["model"])
        places = [given, given / "export"] if given.is_dir() else [given.parent]
        for folder in places:
            if (folder / "model.pt").is_file() and (folder / "model_card.json").is_file():
                if not (folder / "gallery.faiss").is_file():
                    raise UserError(
                        f"MODEL={given}: the people it knows are not there, perhaps purged; "
                        f"`make export RUN={folder.parent}` makes them again."
                    )
                return folder
        raise UserError(
            f"MODEL={given}: no finished run; name its folder, or export/model.pt in it. To train on from any other "
            "checkpoint set WEIGHTS instead."
        )

    @property
    def backbone(self) -> str:
        """BACKBONE, or that of MODEL."""
        if self.old_export is None:
            return self.request["backbone"] or ("resnet50" if self.request.published else "osnet_x0_25")
        card = json.loads((self.old_export / "model_card.json").read_text(encoding="utf-8"))
        return str(card["model"]["backbone"])

    @property
    def weights(self) -> Path | str:
        if self.old_export is not None:
            return self.old_export / "model.pt"
        found = _existing_or_name(
            self.request["weights"] or ("pretrained" if self.request.published else "random"), "WEIGHTS"
        )
        if not isinstance(found, Path) and found not in ("random", "pretrained"):
            raise UserError(
                f"WEIGHTS={found}: no such file; give a .pth checkpoint, 'random' or 'pretrained'."
            )
        return found

    @property
    def ground_truth(self) -> Path | None:
        if not self.request["ground_truth"]:
            return None
        path = Path(self.request["ground_truth"])
        if not path.exists():
            raise UserError(
                f"GROUND_TRUTH={path}: no such file or folder; GROUND_TRUTH=none if there is no truth."
            )
        return path

    @property
    def camera_labels(self) -> Path:
        path = Path(self.request["camera_labels"])
        if not path.exists():
            raise UserError(
                f"CAMERA_LABELS={path}: no such file or folder; CAMERA_LABELS=none if nobody labelled a camera."
            )
        return path

    @property
    def cut(self) -> tuple[int, int]:
        """(train_until_us, test_from_us): the site's own, else the last share of the recorded time is held out."""
        from pipeline import schema
        from pipeline.manifests import VIDEOS

        if self.request.published:  # its training part is all there is to learn from, whatever the time
            return _NEVER_US, _NEVER_US
        cut = self.site.cut()
        if cut is not None:
            return cut
        videos = schema.read(VIDEOS, self.run_dir / "ingest" / VIDEOS.file)
        videos = videos[videos.status == "ok"]
        start, end = int(videos.t_from_us.min()), int(videos.t_until_us.max())
        # Hours without any recording must not swallow the held-out part: walk back over recorded time only.
        instant = _recorded_quantile(
            videos[["t_from_us", "t_until_us"]].to_numpy(), 1 - self.holdout_fraction
        )
        return (min(max(instant, start), end),) * 2

    def digest(self, path: Path) -> str:
        from data.file_digest import file_digest, folder_digest

        memory = self.run_dir / "digests.json"
        return folder_digest(path, memory) if path.is_dir() else file_digest(path, memory)


def _recorded_quantile(intervals: Any, share: float) -> int:
    """The instant before which ``share`` of the recorded time (union of [start, end] in µs) lies."""
    merged: list[list[int]] = []
    for start, end in sorted((int(a), int(b)) for a, b in intervals):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    left = share * sum(end - start for start, end in merged)
    for start, end in merged:
        if left <= end - start:
            return int(start + left)
        left -= end - start
    return merged[-1][1]


def _existing_or_name(text: str, setting: str) -> Path | str:
    path = Path(text)
    if path.exists():
        return path
    if path.parent != Path(".") and text:
        raise UserError(f"{setting}={text}: no such file or folder.")
    return text
