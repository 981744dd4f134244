"""A small camera network with complete truth, drawn by this package: no person in it exists.

`people` (who), `cameras` (where), `world` (when: the schedule; no pixels), `figure` and `scenery` (drawing), `render` (videos, MOT truth,
site.yaml), `detector` and `start` (the weights the demo starts from, fitted to *other* drawn people), `tables` (a larger world without
pixels). `python -m data.synthetic --help` lists the commands.
"""
