"""What commands take for granted inside a project's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotator.journal import Journal
from annotator.named_models import NO_MODEL
from annotator.project import Project, read_project


def command_defaults(path: Path) -> dict[str, dict[str, Any]]:
    """Command -> option -> value, of a project file. Raises AnnotatorError where that is wrong."""
    project = Project(path.parent, read_project(path))
    config, cvat = project.config, project.config.cvat
    server = {"state": str(project.state), "host": cvat.host, "organization": cvat.organization}
    models, strategy = _choices(project)
    return {
        "preannotate": _known(
            {
                **models,
                "skeleton": project.skeleton_spec,
                "category": config.category,
                "quality": config.models.quality,
            }
        ),
        "select": _known({**models, "strategy": strategy, "uniform_share": config.frames.uniform_share}),
        "push": _known(
            {
                **server,
                "project": cvat.project,
                "task_size": cvat.task_size,
                "segment_size": cvat.segment_size,
                "assignees": cvat.assignees,
            }
        ),
        "review": _known({**server, "project": cvat.project}),
        "status": _known({**server, "projects": [cvat.project]}),
        "pull": _known({**server, "project": cvat.project, "jobs": cvat.finished}),
    }


def _choices(project: Project) -> tuple[dict[str, Any], str]:
    """The detector of the project file with the pose model that is in use, and how frames are selected."""
    from annotator.rounds.step import CurrentRound

    journal = Journal(project.state)
    here = CurrentRound(project, journal, 1)
    model, strategy = here.model(), here.strategy()
    journal.close()
    if model is None:
        return {"pose": NO_MODEL}, strategy
    detection = project.config.models.detection
    return {"pose": model, "detection": None if detection is None else project.place(detection)}, strategy


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
