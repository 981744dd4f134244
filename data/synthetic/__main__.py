"""python -m data.synthetic render OUT_DIR | picture PATH | train-detector | train-start"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from data.synthetic.world import DEFAULT_SEED


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data.synthetic", description="The embedded demo site: drawn people, full truth."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    render = commands.add_parser("render", help="write videos, truth and site.yaml of the demo site")
    render.add_argument("out_dir", type=Path)
    render.add_argument("--seed", type=int, default=DEFAULT_SEED)
    render.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    detector = commands.add_parser(
        "train-detector", help="train the demo's detector on other drawn people (half an hour)"
    )
    detector.add_argument("--out", type=Path, default=None)
    detector.add_argument("--threads", type=int, default=2)
    start = commands.add_parser(
        "train-start",
        help="train the demo's re-ID start on other drawn people, without identities (5 minutes)",
    )
    start.add_argument("--out", type=Path, default=None)
    start.add_argument("--steps", type=int, default=None)
    start.add_argument("--threads", type=int, default=2)
    picture = commands.add_parser("picture", help="write one busy moment of every camera as a PNG or JPEG")
    picture.add_argument("path", type=Path)
    picture.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    if args.command == "picture":
        from data.synthetic.render import site_picture

        site_picture(args.path, args.seed)
    if args.command == "train-start":
        from data.synthetic.start import START_PATH, STEPS, train_start

        figures = train_start(args.out or START_PATH, args.steps or STEPS, args.threads)
        print("  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if args.command == "train-detector":
        from data.synthetic.detector import DETECTOR_PATH, train_detector

        figures = train_detector(args.out or DETECTOR_PATH, args.threads)
        print("  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if args.command == "render":
        from data.synthetic.render import render_site

        render_site(args.out_dir, args.seed, args.workers)
        print(f"wrote the demo site to {args.out_dir}")


if __name__ == "__main__":
    main()
