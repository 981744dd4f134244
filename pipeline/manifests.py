"""Every table that crosses a stage boundary, and nothing else.

Times are UTC in microseconds since 1970. Boxes are ``x1, y1, x2, y2`` in pixels of the original frame, right and
bottom exclusive. Frames count from zero; only MOT text files count from one. A missing integer is -1, never null.
"""

from __future__ import annotations

import pyarrow as pa

from pipeline.schema import Column, Manifest

_text, _flag = pa.string(), pa.bool_()
_i32, _i64, _f32, _f64 = pa.int32(), pa.int64(), pa.float32(), pa.float64()

_BOX = (
    Column("x1", _f32, "left edge", "px"),
    Column("y1", _f32, "top edge", "px"),
    Column("x2", _f32, "right edge, exclusive", "px"),
    Column("y2", _f32, "bottom edge, exclusive", "px"),
)
_BOX_RULES = {"x1 < x2 and y1 < y2": lambda t: (t.x1 < t.x2) & (t.y1 < t.y2)}
_FRAME = (
    Column("video_id", _text, "the video the frame belongs to"),
    Column("frame", _i32, "zero-based frame number in that video"),
    Column("t_utc_us", _i64, "true time of the frame", "µs"),
)

VIDEOS = Manifest(
    "videos", 2, "What was recorded, by which camera, when, and how healthy each file is.",
    (
        Column("video_id", _text, "camera and start time, or camera and file name where the time was assumed"),
        Column("camera_id", _text, "the camera that recorded it"),
        Column("path", _text, "absolute path of the file"),
        Column("digest", _text, "SHA-256 of the file's content"),
        Column("status", _text, "'ok', 'unreadable', 'repeated' (the content of another file of the camera) or 'outside' (of the "
               "time asked for)"),
        Column("t_start_us", _i64, "true time of the first frame", "µs"),
        Column("t_end_us", _i64, "true time of the last frame", "µs"),
        Column("t_from_us", _i64, "frames before are not looked at; t_start_us where all are", "µs"),
        Column("t_until_us", _i64, "frames after are not looked at; t_end_us where all are", "µs"),
        Column("frames", _i32, "frames that decode"),
        Column("width", _i32, "frame width as a player shows it", "px"),
        Column("height", _i32, "frame height as a player shows it", "px"),
        Column("fps", _f64, "measured rate: (frames - 1) / duration, 0 where there is no duration", "1/s"),
        Column("stamped_fps", _f64, "rate by the median spacing of the timestamps, blind to dropped frames", "1/s"),
        Column("time_source", _text, "'topology', 'file name', 'container' or 'assumed'"),
        Column("clock_scale", _f64, "true seconds per second of media: t_utc = t_start + scale * media time"),
        Column("time_std_s", _f64, "uncertainty of the camera's clock", "s"),
        Column("grey_fraction", _f64, "share of its time without colour (infra-red, night), 0 to 1"),
        Column("damaged", _i32, "packets and frames that did not decode whole"),
        Column("repaired_times", _i32, "timestamps that were missing or ran backward"),
        Column("whole", _flag, "nothing is missing from it or had to be repaired"),
        Column("note", _text, "what was repaired, is wrong or is worth knowing of the file; empty when nothing"),
    ),
    ("video_id",),
    {"status is ok, unreadable, repeated or outside":
        lambda t: t.status.isin(["ok", "unreadable", "repeated", "outside"]),
     "t_start_us <= t_end_us": lambda t: t.t_start_us <= t.t_end_us,
     "0 <= grey_fraction <= 1": lambda t: t.grey_fraction.between(0, 1)},
)  # fmt: skip

DETECTIONS = Manifest(
    "detections", 1, "One row per person box per frame.",
    (*_FRAME, Column("detection", _i32, "index within the frame, by falling score"), *_BOX,
     Column("score", _f32, "the detector's confidence, 0 to 1")),
    ("video_id", "frame", "detection"),
    _BOX_RULES,
)  # fmt: skip

KEYPOINTS = Manifest(
    "keypoints", 1, "The poses of a pose network's detections; empty for any other detector.",
    (
        Column("video_id", _text, "the video the frame belongs to"),
        Column("frame", _i32, "zero-based frame number in that video"),
        Column("detection", _i32, "index of the person within the frame, as in detections"),
        Column("points", pa.list_(_f32), "x, y and score of each keypoint, one after the other", "px"),
    ),
    ("video_id", "frame", "detection"),
)  # fmt: skip

TRACKLETS = Manifest(
    "tracklets", 1, "One row per tracklet: one person in one camera, as far as the tracker could follow.",
    (
        Column("tracklet_id", _text, "camera, start time and order; the same on every rerun"),
        Column("parent_id", _text, "the tracklet it was cut from by isolation, else its own id"),
        Column("camera_id", _text, "the camera it was seen in"),
        Column("t_start_us", _i64, "time of its first box", "µs"),
        Column("t_end_us", _i64, "time of its last box", "µs"),
        Column("n_boxes", _i32, "number of its boxes"),
        Column("mean_score", _f32, "mean detector confidence"),
    ),
    ("tracklet_id",),
    {"t_start_us <= t_end_us": lambda t: t.t_start_us <= t.t_end_us, "n_boxes > 0": lambda t: t.n_boxes > 0},
)  # fmt: skip

BOXES = Manifest(
    "boxes", 2, "One row per box of a tracklet.",
    (Column("tracklet_id", _text, "the tracklet it belongs to"), *_FRAME, *_BOX,
     Column("score", _f32, "the detector's confidence, 0 to 1"),
     Column("overlap", _f32, "with where its track was expected, 0 to 1; 1 where the track begins"),
     Column("margin", _f32, "that overlap less the best other track's; 1 where none was near")),
    ("tracklet_id", "video_id", "frame"),
    _BOX_RULES,
)  # fmt: skip

CROPS = Manifest(
    "crops", 2, "Boxes cut out at a fixed rate, as JPEG members of WebDataset tar shards.",
    (
        Column("tracklet_id", _text, "the tracklet it belongs to"), *_FRAME,
        Column("shard", _text, "path of the tar file, relative to the run's folder"),
        Column("offset", _i64, "first byte of the JPEG in the shard", "B"),
        Column("size", _i32, "length of the JPEG", "B"),
        Column("width", _i32, "width of the crop", "px"),
        Column("height", _i32, "height of the crop", "px"),
        Column("grey", _flag, "whether its frame has no colour (infra-red, night)"),
        Column("quality", _f32, "0 to 1: large, sharp, inside the frame and not covered by another box"),
    ),
    ("tracklet_id", "video_id", "frame"),
    {"0 <= quality <= 1": lambda t: t.quality.between(0, 1)},
)  # fmt: skip

CAMERA_LABELS = Manifest(
    "camera_labels", 1, "Weak supervision: who is who inside one camera. Read by training, and no truth.",
    (
        Column("tracklet_id", _text, "a tracklet of a camera that somebody labelled"),
        Column("camera_id", _text, "that camera"),
        Column("label", _i32, "person, counted anew in each camera; -1 where the tracklet is nobody labelled"),
    ),
    ("tracklet_id",),
)  # fmt: skip

ASSOCIATIONS = Manifest(
    "associations", 1, "Scored links between tracklets: the candidates a round considered.",
    (
        Column("tracklet_a", _text, "the earlier tracklet id in sort order"),
        Column("tracklet_b", _text, "the later tracklet id in sort order"),
        Column("distance", _f32, "appearance distance, small is near"),
        Column("joint_distance", _f32, "appearance distance under the spatio-temporal prior"),
        Column("transit_time_s", _f32, "leaving one camera to entering the next; negative if the views overlap", "s"),
        Column("kept", _flag, "whether the round trained on it"),
    ),
    ("tracklet_a", "tracklet_b"),
    {"tracklet_a < tracklet_b": lambda t: t.tracklet_a < t.tracklet_b},
)  # fmt: skip

PSEUDO_LABELS = Manifest(
    "pseudo_labels", 1, "What the round trains on; several rows per tracklet where labels are soft or local.",
    (
        Column("tracklet_id", _text, "the labelled tracklet"),
        Column("group", _text, "labels may be compared inside a group only: a camera, a camera pair, or the site"),
        Column("pseudo_label", _i32, "class within the group; -1 unassigned"),
        Column("weight", _f32, "soft label, 1 for a hard one"),
    ),
    ("tracklet_id", "group", "pseudo_label"),
    {"0 < weight <= 1": lambda t: (t.weight > 0) & (t.weight <= 1)},
)  # fmt: skip

MODEL = Manifest(
    "model", 1, "One row: the checkpoint a round ended with.",
    (
        Column("weights", _text, "file name of the checkpoint beside this table"),
        Column("digest", _text, "SHA-256 of the checkpoint"),
        Column("backbone", _text, "network name"),
        Column("dim", _i32, "length of a feature"),
        Column("steps", _i64, "optimiser steps since the start weights"),
    ),
    ("weights",),
)  # fmt: skip

SUPERVISED_MODEL = Manifest(
    "supervised_model", 1, "The reference: the same network trained with the truth on the same tracklets.",
    MODEL.columns, ("weights",),
)  # fmt: skip

TRAIN_LOG = Manifest(
    "train_log", 1, "The training curve of one round.",
    (
        Column("step", _i64, "optimiser step within the round"),
        Column("epoch", _i32, "epoch within the round"),
        Column("loss", _f32, "mean loss of the batch"),
        Column("active_fraction", _f32, "share of triplets whose hinge is above zero"),
        Column("learning_rate", _f32, "learning rate of the step"),
    ),
    ("step",),
)  # fmt: skip

IDENTITIES = Manifest(
    "identities", 1, "Tracklet to person, across all cameras and files: what most users come for.",
    (
        Column("tracklet_id", _text, "the tracklet"),
        Column("identity", _i32, "one number per person on the whole site"),
        Column("confidence", _f32, "0 to 1: how clearly it belongs there rather than to the next best person"),
    ),
    ("tracklet_id",),
    {"0 <= confidence <= 1": lambda t: t.confidence.between(0, 1), "identity >= 0": lambda t: t.identity >= 0},
)  # fmt: skip

SELECTION = Manifest(
    "selection", 2, "Which training states the run ends on, chosen without labels: the mean of several, or one.",
    (
        Column("round", _i32, "round; -1 is the start"),
        Column("signal", _f64, "label-free health signal, large is good"),
        Column("chosen", _flag, "whether this state is in the network that `identify` uses"),
    ),
    ("round",),
)  # fmt: skip

GROUND_TRUTH = Manifest(
    "ground_truth", 1, "True boxes. Read by nothing that trains without labels.",
    (*_FRAME, Column("pid", _i32, "true person, one number across all cameras"), *_BOX,
     Column("visibility", _f32, "visible share, 0 to 1")),
    ("video_id", "frame", "pid"),
    _BOX_RULES,
)  # fmt: skip

LABELLED_FRAMES = Manifest(
    "labelled_frames", 1, "The frames that count, of videos where not every frame was labelled; of a video not named here all do.",
    (
        Column("video_id", _text, "the video the frame belongs to"),
        Column("frame", _i32, "zero-based frame number in that video"),
    ),
    ("video_id", "frame"),
)  # fmt: skip

PEOPLE = Manifest(
    "people", 1, "The part each true person plays in the evaluation.",
    (
        Column("pid", _i32, "true person"),
        Column("role", _text, "'train', 'test', 'both' (seen on both sides of the cut, in neither part)"),
        Column("n_cameras", _i32, "cameras that saw the person on the side of the cut that counts"),
    ),
    ("pid",),
    {"role is train, test or both": lambda t: t.role.isin(["train", "test", "both"])},
)  # fmt: skip

RANKINGS = Manifest(
    "rankings", 2, "One row per evaluation query and training state: enough for CMC, mAP and paired intervals.",
    (
        Column("checkpoint", _text, "'start', 'round-0' …, 'final', 'supervised' or 'end_to_end'"),
        Column("query_id", _text, "the query"),
        Column("pid", _i32, "its true person"),
        Column("camera_id", _text, "its camera"),
        Column("first_match_rank", _i32, "zero-based rank of the first true match; -1 where the query was missed"),
        Column("average_precision", _f64, "0 to 1; 0 where the query was missed"),
        Column("inverse_negative_penalty", _f64, "matches over the rank of the last of them; 0 where one is never found"),
    ),
    ("checkpoint", "query_id"),
)  # fmt: skip

CONFUSIONS = Manifest(
    "confusions", 2, "Pictures of the test queries that the final state answers worst, with what it answered.",
    (
        Column("place", _i32, "0 for the worst query"),
        Column("role", _text, "'query', 'answer' (the first, and wrong) or 'match' (the true one it ranked highest)"),
        Column("rank", _i32, "zero-based rank of that picture's appearance among the answers; -1 for the query"),
        Column("pid", _i32, "its true person"), Column("camera_id", _text, "its camera"), *CROPS.columns,
    ),
    ("place", "role"),
)  # fmt: skip

MEASURES = Manifest(
    "measures", 1, "metrics.json as a table, so that whoever shows a measure is made anew when one changes.",
    (
        Column("measure", _text, "path in metrics.json, for example reid.final.rank1"),
        Column("value", _f64, "its value; what could not be measured has no row"),
    ),
    ("measure",),
)  # fmt: skip

EXPORTS = Manifest(
    "exports", 1, "The chosen network in formats that run without this project.",
    (
        Column("file", _text, "file name beside this table"),
        Column("format", _text, "'pytorch', 'onnx' or 'openvino'"),
        Column("digest", _text, "SHA-256 of the file"),
        Column("least_cosine", _f64, "worst cosine with PyTorch's features over some crops; 1 for PyTorch itself"),
    ),
    ("file",),
    {"-1 <= least_cosine <= 1": lambda t: t.least_cosine.between(-1.0, 1.0 + 1e-6)},
)  # fmt: skip

GALLERY = Manifest(
    "gallery", 1, "What `search` looks through: one row per tracklet, in the order of the index gallery.faiss beside it.",
    (
        Column("row", _i64, "row of the index"),
        Column("tracklet_id", _text, "the tracklet"),
        Column("identity", _i32, "its person on the whole site"),
        Column("confidence", _f32, "0 to 1, as in identities"),
        Column("camera_id", _text, "the camera"),
        Column("t_start_us", _i64, "first box", "µs"),
        Column("t_end_us", _i64, "last box", "µs"),
        Column("shard", _text, "tar shard of its clearest crop, relative to the run's folder"),
        Column("offset", _i64, "where that crop's JPEG begins", "bytes"),
        Column("size", _i64, "its length", "bytes"),
    ),
    ("row",),
)  # fmt: skip

PROTOCOL = Manifest(
    "protocol", 1, "The tracklets of a published benchmark and the part each plays. Read by nothing that trains.",
    (
        Column("tracklet_id", _text, "the tracklet"),
        Column("camera_id", _text, "its camera"),
        Column("pid", _i32, "its person by the benchmark; -1 junk, 0 a distractor"),
        Column("part", _text, "'train' or 'test'"),
        Column("query", _flag, "whether it asks"),
        Column("gallery", _flag, "whether it is looked through"),
    ),
    ("tracklet_id",),
    {"part is train or test": lambda t: t.part.isin(["train", "test"])},
)  # fmt: skip

PROTOCOL_CROPS = Manifest(
    "protocol_crops", 2, "Pictures of a benchmark's test tracklets, each a file of its own.", CROPS.columns, CROPS.key,
    CROPS.rules,
)  # fmt: skip

ALL = (
    VIDEOS, DETECTIONS, TRACKLETS, BOXES, CROPS, ASSOCIATIONS, PSEUDO_LABELS, MODEL, SUPERVISED_MODEL, TRAIN_LOG, SELECTION,
    IDENTITIES, GROUND_TRUTH, LABELLED_FRAMES, PEOPLE, RANKINGS, CONFUSIONS, MEASURES, EXPORTS, GALLERY, PROTOCOL, PROTOCOL_CROPS,
)  # fmt: skip
