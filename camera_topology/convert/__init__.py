"""Site files from the layouts that others publish, and back: for `topology convert`.

A module each for vehicle_mtmc's camera layout, NVIDIA's calibration.json, the AI City Challenge's calibration.txt and
WILDTRACK's OpenCV files. ``read(path)`` gives the values of a site file and what a person should know of them;
``write(values, path)`` writes what the format can hold and says what it could not.
"""
