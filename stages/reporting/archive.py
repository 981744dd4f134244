"""The report as one file that opens anywhere: ``make report ZIP=1``."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from pipeline.errors import UserError
from stages.reporting.pages import FILES
from stages.reporting.thumbs import write_private

ARCHIVE = "report.zip"
_PARTS = {".html", ".css", ".jpg", ".mp4"}


def pack(run_dir: Path) -> Path:
    """Write ``report.zip`` beside the run's report: the page and its folder, for the owner only. Returns its path.

    Raises:
        UserError: the run has no report.
    """
    report = run_dir / "report"
    parts = (p for p in sorted((report / FILES).glob("*")) if p.suffix in _PARTS)
    pages = [report / "index.html", *parts]
    if not pages[0].is_file():
        raise UserError(f"{run_dir}: has no report; make one with: make report RUN={run_dir}")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for page in pages:
            archive.write(page, f"report-{run_dir.resolve().name}/{page.relative_to(report)}")
    write_private(run_dir / ARCHIVE, made.getvalue())
    return run_dir / ARCHIVE
