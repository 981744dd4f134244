"""``python -m pipeline COMMAND``, also installed as ``trackweave``: what goes wrong becomes one sentence and an exit status."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from pipeline.cli import options_of
from pipeline.errors import UserError, one_line
from pipeline.schema import ManifestError

# What is wrong with the machine or with a name, and not with us: no room, a failing disk, a place that is closed to us.
_OUTSIDE = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EISDIR, errno.ENOTDIR, errno.EMFILE, errno.ENFILE,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 a defect of ours, 2 input the user can mend, 130 interrupted."""
    options = options_of(sys.argv[1:] if arguments is None else arguments, os.environ)
    # Whatever is written shows or describes people: it is its owner's alone, in workers too.
    os.umask(0o077)
    # Libraries must neither upload nor install behind the user's back.
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # A picture whose header claims more is damaged, or meant to fill the memory.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
    # Threads that spin while they wait slow a busy machine down three times; sleeping costs an idle one nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.simplefilter("always")
    warnings.formatwarning = _once()
    try:
        options.command(options)
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ManifestError as error:
        print(
            f"error: {one_line(str(error))}; the step that wrote it makes it anew with FORCE=.",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in _OUTSIDE:
            raise
        where = error.filename or getattr(options, "run", None) or "RUN"
        sentence = (
            f"{where}: {error.strerror}; mend that and run the same command again, finished work is kept."
        )
        print(f"error: {one_line(sentence)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished work is kept, the same command resumes.", file=sys.stderr)
        return 130


def _once() -> Callable[..., str]:
    """Each warning as one line, the first time only: Python's own 'once' forgets at every `catch_warnings`."""
    said: set[str] = set()

    def line(message: Warning | str, *_: Any, **__: Any) -> str:
        new = str(message) not in said
        said.add(str(message))
        return f"warning: {message}\n" if new else ""

    return line


if __name__ == "__main__":
    sys.exit(main())
