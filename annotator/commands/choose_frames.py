"""annotator choose-frames: videos in, a folder of frames worth labelling out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import chosen_execution, execution_options, json_option
from annotator.named_models import DEFAULT_DETECTOR

if TYPE_CHECKING:
    from annotator.detector import Detector
    from annotator.frame_choice import Footage
    from annotator.frame_folder import TakenFrame
    from frame_tools.images import ManifestEntry
    from frame_tools.selection import Selection, Wishes
    from frame_tools.timing import Span
    from frame_tools.video import Video

EXIT_SKIPPED = 3
KINDS = ("blurry", "occluded", "crowded", "truncated", "empty")
BY_HAND = ("strange",)  # a kind that only a person can tell
UNPLANNED = ("overwrite", "detection", "want", "interactive", "browser", "port")  # in the plan otherwise, or not at all

EPILOG = """\b
Examples:
  annotator choose-frames match.mp4 -o frames -n 60
  annotator choose-frames *.mp4 -o frames -n 200 --detection yolo11n.pt --want crowded=30 --want empty=10
  annotator choose-frames match.mp4 -o frames -n 60 --interactive
\b
Writes:
  frames/
    <video>-<8 digits of its hash>-<pts>.jpg   the frames, upright, square pixels
    manifest.jsonl                             one line a frame: source, time, reason, quality
    report.html, report_files/                 with --report: contact sheet, timeline, reasons
    errors.jsonl                               damaged stretches that were skipped, if any
    picking.jsonl                              with --interactive: each key, kept when it is pressed
    run.json                                   what was asked for
\b
Kinds for --want (they count towards -n):
  blurry      sharpness below 0.75 of its scene's median; with --detection, of the subjects'
  occluded    two subjects' boxes overlap by an IoU of 0.15 or more
  crowded     5 subjects or more
  truncated   a subject's box comes within 1 % of the picture's border
  empty       the detector finds nobody
The detector looks at 300 frames, or at three times -n if that is more, spread over all videos.
\b
Methods:
  diverse   no near-duplicates, no blurred or black frames; every scene first, then whatever
            looks least like what has been taken; returns fewer than -n rather than such frames
  uniform   evenly spaced in time     scenes   spread over the scenes, the sharpest of each part
  every     every --step'th frame
Of video with more than 18 frames a second, diverse and scenes look at about 12 a second.
\b
With --interactive, a page opens in the browser: step through the frames, take and mark them, accept what the
method suggests (-n may be left out: then it suggests nothing). Its keys are on the page, under ?. Stopped in any
way, the same command goes on where you were. --want counts what you mark, strange=N too, and needs no detector.
The page is for this machine only, and for who has the address. Exit 130: you go on later.
\b
The same command on the same videos gives the same bytes."""


class WantType(click.ParamType):
    """`kind=count`."""

    name = "kind=count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        kind, _, count = str(value).partition("=")
        if kind not in (*KINDS, *BY_HAND) or not count.isdecimal():
            self.fail(f"{value!r}: expected kind=count, kind one of {', '.join((*KINDS, *BY_HAND))}", param, ctx)
        return kind, int(count)


@click.command(epilog=EPILOG)
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the frames to.")
@click.option("-n", "--count", type=click.IntRange(1), help="How many frames, of all videos together.")
@click.option(
    "--method",
    type=click.Choice(("diverse", "uniform", "scenes", "every")),
    default="diverse",
    show_default=True,
    help="How to choose, see below.",
)
@click.option("--step", type=click.IntRange(1), help="With --method every: take every so many'th frame.")
@click.option("--min-gap", type=click.FloatRange(0), default=0, help="Least time between two frames, in seconds.")
@click.option("--start", help="Skip what is before: seconds, HH:MM:SS.mmm, or a frame's number as in 2700f.")
@click.option("--end", help="Skip what is from here on; written as --start is.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, another choice.")
@click.option("--want", type=WantType(), multiple=True, help="Hard cases to have among the frames, see below.")
@click.option("--detection", help="Detector, as in preannotate: a name, hog, a model file, …")
@execution_options
@click.option("--interactive", is_flag=True, help="Pick them by hand, in a page in the browser.")
@click.option("--browser/--no-browser", default=True, help="Open the page, or only print its address.")
@click.option("--port", type=click.IntRange(1024, 65535), help="Of the page. [default: any that is free]")
@click.option("--report", is_flag=True, help="Write report.html.")
@click.option(
    "--format", "suffix", type=click.Choice(("jpg", "png")), default="jpg", show_default=True, help="Of the pictures."
)
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG.")
@click.option("--max-size", type=click.IntRange(16), help="Longer side at most this, in pixels. [default: as it is]")
@click.option("--overwrite", is_flag=True, help="Remove what an earlier run wrote to the same folder.")
@json_option
def command(videos: tuple[Path, ...], output: Path, as_json: bool, **options: Any) -> int:
    """Choose the frames of VIDEOS that are worth a person's time."""
    _check_options(options)
    from annotator.frame_folder import frames_run, refuse_twins
    from annotator.picking.footage import INDEX_FOLDER
    from annotator.picking.log import LOG_FILE, refuse_if_open
    from annotator.report import PICTURES
    from frame_tools.timing import Span, parse_position
    from frame_tools.video import open_video

    places = [None if options[name] is None else parse_position(options[name]) for name in ("start", "end")]
    opened = [open_video(path) for path in videos]
    refuse_twins(opened)
    detector = _load_detector(options)
    refuse_if_open(output / LOG_FILE)
    run = frames_run(output, _plan(opened, detector, options), (PICTURES, LOG_FILE, INDEX_FOLDER))
    work = _pick if options["interactive"] else _choose
    with run.locked(options["overwrite"]):
        result = work(output, opened, Span(*places), options, detector)
        run.finish()
    _tell(output, result, opened, as_json)
    return EXIT_SKIPPED if result.skipped else 0


@dataclass(frozen=True)
class Written:
    """What a run has written. shortfalls: what could not be had, in words. skipped: whether inputs were."""

    entries: Sequence[ManifestEntry]
    shortfalls: tuple[str, ...]
    skipped: bool


def _choose(
    output: Path, videos: Sequence[Video], span: Span, options: dict[str, Any], detector: Detector | None
) -> Written:
    """Choose by the method, and write."""
    from frame_tools.selection import select

    footage = _look(videos, span, options, detector)
    selection = select([f.timeline for f in footage], [f.candidates for f in footage], _wishes(options))
    return _write_folder(output, footage, _chosen(footage, selection), selection.shortfalls, options, lambda _: None)


def _pick(
    output: Path, videos: Sequence[Video], span: Span, options: dict[str, Any], detector: Detector | None
) -> Written:
    """Let a person pick, and write. Raises click.Abort where the person goes on later."""
    from annotator.picking.desk import opened_desk
    from annotator.picking.looking import Question
    from annotator.picking.server import served

    wanted = dict(options["want"])
    told = {kind: count for kind, count in wanted.items() if kind == "blurry" or (detector and kind in KINDS)}
    question = Question(span, replace(_wishes(options), wanted=told), wanted, detector)
    with opened_desk(videos, output, question) as desk, served(desk, options["port"] or 0) as server:
        try:
            _show(server.address, desk.dropped, options["browser"])
            if desk.wait() == "quit":
                raise click.Abort
            frames, lost = desk.taken()
            written = _write_folder(output, desk.looked().footage, frames, tuple(lost), options, desk.wrote)
        except (click.Abort, KeyboardInterrupt):
            kept = f"{len(desk.session.taken)} frames are taken and kept; the same command goes on from there"
            click.echo(kept, err=True)
            raise click.Abort from None
        desk.end(f"{len(written.entries)} frames are written to {output}.")
    return written


def _show(address: str, dropped: int, browser: bool) -> None:
    if dropped:
        click.echo(f"the last key of the session before was not kept whole ({dropped} bytes): press it again", err=True)
    click.echo(f"pick frames at {address}", err=True)
    if browser:
        import webbrowser

        webbrowser.open(address)


def _write_folder(
    output: Path,
    footage: Sequence[Footage],
    frames: Sequence[Sequence[TakenFrame]],
    shortfalls: tuple[str, ...],
    options: dict[str, Any],
    progress: Callable[[int], object],
) -> Written:
    """Pictures, list of damage, page, manifest: in this order. frames: of each video."""
    from annotator.frame_folder import remove_others, write_damage, write_manifest

    videos = [item.video for item in footage]
    entries = _write(output, videos, frames, options, progress)
    damaged = write_damage(output, videos)
    if options["report"]:
        from annotator.frame_report import write_frame_report

        write_frame_report(output, footage, entries, shortfalls)
    write_manifest(output, entries)
    if options["interactive"]:
        remove_others(output, entries)
    return Written(entries, shortfalls, bool(damaged))


def _check_options(options: dict[str, Any]) -> None:
    every, interactive = options["method"] == "every", options["interactive"]
    if every and options["count"] is not None:
        raise click.UsageError("--method every takes --step, not -n")
    if every and options["want"]:
        raise click.UsageError("--want chooses; --method every does not: use another method")
    if not every and options["count"] is None and not interactive:
        raise click.UsageError("-n is missing: how many frames?")
    if not every and options["step"] is not None:
        raise click.UsageError("--step belongs to --method every")
    kinds = [kind for kind, _ in options["want"]]
    if len(set(kinds)) < len(kinds):
        raise click.UsageError(f"--want {max(kinds, key=kinds.count)} is given twice")
    if not interactive and "strange" in kinds:
        raise click.UsageError("--want strange needs --interactive: only a person can tell")
    if not interactive and (blind := [kind for kind in kinds if kind != "blurry"]) and not options["detection"]:
        raise click.UsageError(
            f"--want {blind[0]} needs --detection, such as {DEFAULT_DETECTOR}: only a detector can tell"
        )
    if not interactive and options["port"] is not None:
        raise click.UsageError("--port belongs to --interactive")
    if options["count"] is not None and sum(count for _, count in options["want"]) > options["count"]:
        raise click.UsageError(f"the --want counts add up to more than -n {options['count']}, of which they are part")


def _wishes(options: dict[str, Any]) -> Wishes:
    from frame_tools.selection import Wishes

    return Wishes(
        count=options["count"],
        method=options["method"],
        step=options["step"] or 1,
        min_gap_seconds=options["min_gap"],
        seed=options["seed"],
        wanted=dict(options["want"]),
    )


def _load_detector(options: dict[str, Any]) -> Detector | None:
    if not options["detection"]:
        return None
    from annotator.detector import DetectionOptions, load_detector

    return load_detector(options["detection"], DetectionOptions(), chosen_execution(options))


def _plan(videos: Sequence[Video], detector: Detector | None, options: dict[str, Any]) -> dict[str, Any]:
    from importlib.metadata import version

    asked = {name: value for name, value in options.items() if name not in UNPLANNED}
    return {
        "command": "choose-frames",
        "version": version("cvat-pose-annotator"),
        "videos": [[video.path.name, video.sha256] for video in videos],
        "detection": None if detector is None else [detector.name, detector.sha256],
        "want": dict(options["want"]),
        **asked,
        **({"interactive": True} if options["interactive"] else {}),
    }


def _look(videos: Sequence[Video], span: Span, options: dict[str, Any], detector: Detector | None) -> list[Footage]:
    from tqdm import tqdm

    from annotator.frame_choice import detect, detected_each, look_at, looks_stride

    keep_blurred = any(kind == "blurry" for kind, _ in options["want"])
    footage = []
    for video in videos:
        with tqdm(desc=f"look at {video.path.name}", total=video.facts.frame_count, unit="frame", disable=None) as bar:
            stride = looks_stride(video, options["method"])
            footage.append(look_at(video, span, bar.update, stride, len(videos), keep_blurred))
    if detector is None:
        return footage
    limit = detected_each(options["count"], len(videos))
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(desc="detect", unit="frame", disable=None))
        return [detect(item, detector, limit, bar.update) for item in footage]


def _write(
    output: Path,
    videos: Sequence[Video],
    frames: Sequence[Sequence[TakenFrame]],
    options: dict[str, Any],
    progress: Callable[[int], object],
) -> list[ManifestEntry]:
    from tqdm import tqdm

    from annotator.frame_folder import PictureFormat, write_frame

    picture = PictureFormat(f".{options['suffix']}", options["quality"], options["max_size"])
    entries = []
    with tqdm(desc="write", total=sum(map(len, frames)), unit="frame", disable=None) as bar:
        for video, taken in zip(videos, frames, strict=True):
            reasons = {item.mark.pts: item.reason for item in taken}
            for frame in video.frames_at([item.mark for item in taken]):
                entries.append(write_frame(output, video, frame, reasons[frame.id.pts], picture))
                bar.update()
                progress(1)
    return entries


def _chosen(footage: Sequence[Footage], selection: Selection) -> list[list[TakenFrame]]:
    """The frames of each video that were selected."""
    from annotator.frame_folder import Reason, TakenFrame

    frames: list[list[TakenFrame]] = [[] for _ in footage]
    for choice in selection.choices:
        item = footage[choice.video]
        reason = Reason(choice.reason, item.figures(choice.row))
        frames[choice.video].append(TakenFrame(item.analysis.table.mark(choice.row), reason))
    return frames


def _tell(output: Path, written: Written, videos: Sequence[Video], as_json: bool) -> None:
    from annotator.frame_folder import describe_damage

    damage = [f"{video.path}: {words}" for video in videos for words in describe_damage(video)]
    for line in (*written.shortfalls, *damage):
        click.echo(line, err=True)
    repaired = {video.path: video.repaired_pts for video in videos if video.repaired_pts}
    for path, count in repaired.items():
        click.echo(f"{path}: {count} frames without a usable time stamp were given one by the frame rate", err=True)
    frames = len(written.entries)
    if as_json:
        result = {"output": str(output), "frames": frames, "shortfalls": written.shortfalls, "damage": damage}
        click.echo(json.dumps(result, ensure_ascii=False))
    else:
        click.echo(str(output))
    click.echo(f"{frames} frames chosen", err=True)
