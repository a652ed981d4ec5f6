"""How FiftyOne's App shows a review: colours, bones, sidebar, and the views to begin with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotator.review.documents import SIDES, SOURCES, boxes_field, keypoint_fields, side_edges, side_field
from annotator.review.frames import Review
from cvat_export.skeleton import SIDE_COLOURS, Skeleton

COLOURS = {"proposals": "#ff3caa", "corrections": "#ffd94a", "truth": "#ffffff"}
PALER = {"proposals": 0.0, "corrections": 0.4, "truth": 0.7}  # towards white: how a side's colour tells whose it is
_SIDEBAR = {
    "REVIEW": (
        *("doubt", "errors", "suspects", "lowest_oks", "moved_sigmas", "subjects", "reviewed", "annotator", "job"),
        "uniqueness",
    ),
    "FRAME": ("video", "seconds", "pts", "reason", "role", "round", "models", "file_name", "frame_id"),
}


def present(dataset: Any, review: Review) -> None:
    """How the App shows it: sides in two colours, the rest by whose it is; the views to begin with."""
    import fiftyone as fo

    skeleton = next(iter(review.skeletons.values()), None)
    if skeleton is not None:
        dataset.skeletons = dict(_bones(skeleton))
    dataset.app_config.color_scheme = _colour_scheme()
    dataset.app_config.active_fields = fo.ActiveFields(paths=keypoint_fields(), exclude=False)
    dataset.app_config.sidebar_groups = _sidebar(dataset)
    dataset.info = {"folder": str(review.folder.absolute())}
    dataset.save()
    for name, (view, words) in _views(dataset).items():
        dataset.save_view(name, view, description=words, overwrite=True)


def _bones(skeleton: Skeleton) -> Iterator[tuple[str, Any]]:
    """A field's name, and the edges that its labels have."""
    import fiftyone as fo

    for source in SOURCES:
        for name, side in ((source, None), *((side_field(source, side), side) for side in SIDES)):
            yield name, fo.KeypointSkeleton(labels=list(skeleton.joints), edges=side_edges(skeleton, side))


def _colour_scheme() -> Any:
    """A colour a field. The App's own colours of joints go by which it meets first: they would change sides."""
    import fiftyone as fo

    colours = {name: colour for source, colour in COLOURS.items() for name in (source, boxes_field(source))}
    colours |= {side_field(source, side): _paler(side, share) for source, share in PALER.items() for side in SIDES}
    return fo.ColorScheme(
        color_by="field",
        multicolor_keypoints=False,
        show_skeletons=True,
        opacity=0.9,
        fields=[{"path": path, "fieldColor": colour} for path, colour in colours.items()],
    )


def _paler(side: str, share: float) -> str:
    """A side's colour, that share of the way to white."""
    rgb = [int(SIDE_COLOURS[side][place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in rgb)


def _sidebar(dataset: Any) -> list[Any]:
    """Tags and labels first, then what matters to a review; what is ours alone is not shown."""
    import fiftyone as fo

    placed = {path for paths in _SIDEBAR.values() for path in paths} | {"fingerprint", "looks"}
    groups = fo.DatasetAppConfig.default_sidebar_groups(dataset)
    for group in groups:
        group.paths = [path for path in group.paths if path not in placed and not path.startswith("quality")]
        group.expanded = group.name in ("tags", "labels")
        group.paths = sorted(group.paths, key=lambda path: path in SOURCES)  # sides first, for they lie on top
    quality = [path for path in dataset.get_field_schema(flat=True) if path.startswith("quality.")]
    ours = {**{name: list(paths) for name, paths in _SIDEBAR.items()}, "QUALITY": quality}
    first = [group for group in groups if group.expanded]
    middle = [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=name != "QUALITY") for name, paths in ours.items()
    ]
    return [*first, *middle, *(group for group in groups if not group.expanded)]


def _views(dataset: Any) -> dict[str, tuple[Any, str]]:
    from fiftyone import ViewField

    return {
        "worst": (dataset.sort_by("doubt", reverse=True), "Most doubtful first: lowest OKS, or lowest scores"),
        "suspects": (
            dataset.match(ViewField("suspects").length() > 0).sort_by("doubt", reverse=True),
            "Proposals that rules on shape and scores doubt",
        ),
        "most moved": (
            dataset.match(ViewField("moved_sigmas") > 0).sort_by("moved_sigmas", reverse=True),
            "Where people moved joints furthest, in OKS's sigmas",
        ),
        "empty frames": (dataset.match(ViewField("subjects") == 0), "Nobody was proposed or drawn"),
        "not reviewed": (dataset.match(ViewField("reviewed") == False), "In no finished job"),  # noqa: E712
        "by video": (dataset.group_by("video", order_by="pts"), "Frames of a video in their order"),
    }
