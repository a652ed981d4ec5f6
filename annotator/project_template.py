"""The project file as `annotator init` writes it: every key, explained."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """What a user says of a new project. videos, images: from its folder. host, detection, pose: None for none."""

    name: str
    skeleton: str
    category: str
    videos: tuple[str, ...]
    images: tuple[str, ...]
    project: str
    host: str | None
    detection: str | None
    pose: str | None


def project_text(wanted: Wanted) -> str:
    """The file's text. Strings are written as JSON, which is YAML too."""
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in vars(wanted).items()}
    return _TEXT.format(detector=" null" if wanted.detection else _DETECTOR, **values)


_DETECTOR = """
  network: lite-detector
  weights: annotator-person
  epochs: 40
  batch_size: 8
  input: {width: 320, height: 320}
  optimizer: {learning_rate: 0.001}
  ema: 0.98"""


_TEXT = """\
# A project of annotator: annotator round next goes on with it. Paths are from this file's folder.
name: {name}

# What is labelled. skeleton: a name of the install's skeletons, or a YAML file; category: the label in CVAT. Neither
# can be changed once something is in CVAT.
skeleton: {skeleton}
category: {category}

# Where frames come from: files or patterns. More may be added at any time; the evaluation set stays as it was drawn.
videos: {videos}
images: {images}

# Where people work. The password or token comes from the environment, never from here: see annotator push --help.
cvat:
  project: {project}
  host: {host}                # null: CVAT_HOST
  organization: null
  task_size: 200              # images in a task
  segment_size: 50            # images in a job
  assignees: []               # users who get jobs in turn
  finished: accepted          # whose work counts: jobs accepted (at stage acceptance and completed), or completed

# Which frames people see.
frames:
  pool: 2000                  # to choose from: so many of all videos, evenly spaced; of images every one
  evaluation: 60              # drawn from these by lot, once, and labelled without proposals: what models are judged by
  a_round: 60                 # chosen for people in a round
  strategy: diverse           # diverse, hybrid, uncertain, disagreement or uniform: see annotator select --help
  uniform_share: 0.2          # of a round's frames that hybrid draws by lot
  apart_seconds: 1.0          # frames of a video nearer to one of the evaluation set are never chosen nor learnt from
  look_at: 2000               # frames of the pool that models look at in a round; of more, a shortlist

# What proposes, until a model of the project's own is better: names of annotator models, files, or null for nothing.
models:
  detection: {detection}
  pose: {pose}
  quality: fast               # fast or best, as in annotator preannotate

# How a model is trained, each round from the same start on all labels: keys of docs/training.md, without data.
train:
  network: lite-fpn
  weights: annotator-pose     # what to begin with: a name of the install, a checkpoint, null for random weights
  epochs: 40
  batch_size: 16
  input: {{width: 192, height: 256}}
  crop: {{padding: 1.1}}
  target: {{sigma: 1.5, decoding: expected-oks}}
  optimizer: {{learning_rate: 0.0007}}
  ema: 0.99

# How a detector of your own is trained, likewise; null: models.detection stays. It finds the subjects for the next
# round's proposals once it is better, by box AP, than the one in use.
detector:{detector}

# A new pose model takes the old one's place if it is better on the evaluation set by this figure: OKS (the mean, which
# tells models apart soonest), AP (OKS AP) or PCK (PCK@0.1); the 95 % interval of the difference must lie above 0.
gate:
  figure: OKS

seed: 0                       # another number, another choice and another training
"""
