"""annotator clip: short sequences of a video as folders of frames, or as videos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import json_option

if TYPE_CHECKING:
    from annotator.clip_folder import SpanFrames
    from frame_tools.clips import Clip
    from frame_tools.video import Video

EXIT_SKIPPED = 3

EPILOG = """\b
Example:
  annotator clip match.mp4 -o clips --clip-size 32 --step 2 --clip-step 300
  takes frames 0, 2, … 62 as the first clip, 300, 302, … 362 as the second
\b
Writes:
  clips/
    clip_00000/
      <video>-<8 digits of its hash>-<pts>.jpg   its frames, named as choose-frames names them
      manifest.jsonl                             one line a frame: source, time, place in the clip
    clip_00001/ …
    errors.jsonl                                 damaged stretches that were skipped, if any
    run.json                                     what was asked for
With --video, a clip's folder holds <video>-<8 digits>-<pts of its first frame>.mp4 in place of pictures, with the
exact distances in time of the source, and the same manifest, whose lines are the video's frames in order.
\b
Clips that do not fit whole before the end are left out."""


@click.command(epilog=EPILOG)
@click.argument("video", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write the clips to.")
@click.option(
    "--step", type=click.IntRange(1), default=1, show_default=True, help="From frame to frame inside a clip, in frames."
)
@click.option("--clip-size", type=click.IntRange(1), help="Frames in a clip. [default: all, as one clip]")
@click.option(
    "--clip-step",
    type=click.IntRange(1),
    help="From the first frame of a clip to that of the next one, in frames. [default: one clip behind the other]",
)
@click.option("--start", help="Skip what is before: seconds, HH:MM:SS.mmm, or a frame's number as in 2700f.")
@click.option("--end", help="Skip what is from here on; written as --start is.")
@click.option(
    "--format", "suffix", type=click.Choice(("jpg", "png")), default="jpg", show_default=True, help="Of the pictures."
)
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG.")
@click.option("--video", "as_video", is_flag=True, help="Write each clip as an MP4 video instead of pictures.")
@click.option("--dry-run", is_flag=True, help="Print the plan and write nothing.")
@click.option("--overwrite", is_flag=True, help="Remove what an earlier run wrote to the same folder.")
@json_option
def command(video: Path, output: Path | None, as_json: bool, **options: Any) -> int:
    """Cut VIDEO into clips of evenly spaced frames."""
    if output is None and not options["dry_run"]:
        raise click.UsageError("-o is missing: the folder to write the clips to")
    from annotator.clip_folder import describe_clips, frames_in
    from frame_tools.clips import ClipSettings, plan_clips
    from frame_tools.timing import Span, parse_position
    from frame_tools.video import open_video

    places = [None if options[name] is None else parse_position(options[name]) for name in ("start", "end")]
    settings = ClipSettings(options["step"], options["clip_size"], options["clip_step"])
    opened = open_video(video)
    frames = frames_in(opened, Span(*places))
    clips = list(plan_clips(len(frames.seconds), settings))
    plan = list(describe_clips(clips, frames))
    if options["clip_size"] and len(clips[0].frames) < options["clip_size"]:
        click.echo(f"only {len(clips[0].frames)} of {options['clip_size']} frames fit: one shorter clip", err=True)
    if options["dry_run"]:
        _print_plan(plan, as_json)
        return 0
    assert output is not None
    damaged = _write(output, opened, frames, clips, options)
    click.echo(json.dumps({"output": str(output), "clips": plan}) if as_json else str(output))
    click.echo(f"{len(clips)} clips, {sum(len(clip.frames) for clip in clips)} frames", err=True)
    return EXIT_SKIPPED if damaged else 0


def _print_plan(plan: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"clips": plan}))
        return
    for clip in plan:
        click.echo(
            f"{clip['clip']}  {clip['frames']} frames, {clip['first']} to {clip['last']} by {clip['step']}, "
            f"{clip['start_seconds']:.3f} s to {clip['end_seconds']:.3f} s"
        )


def _write(output: Path, video: Video, frames: SpanFrames, clips: Sequence[Clip], options: dict[str, Any]) -> int:
    """Write the clips and the list of damage; gives the number of damaged stretches."""
    from importlib.metadata import version

    from tqdm import tqdm

    from annotator.clip_folder import clip_folder, write_picture_clips, write_video_clips
    from annotator.frame_folder import ERRORS_FILE, PictureFormat, describe_damage, write_damage
    from annotator.run_folder import RunFolder

    asked = {name: value for name, value in options.items() if name not in ("overwrite", "dry_run")}
    plan = {
        "command": "clip",
        "version": version("cvat-pose-annotator"),
        "video": [video.path.name, video.sha256],
        **asked,
    }
    old = sorted(path for path in output.glob("clip_[0-9]*") if path.is_dir()) if output.is_dir() else []
    run = RunFolder(
        output, plan, (output / ERRORS_FILE, *dict.fromkeys((*old, *(clip_folder(output, c) for c in clips))))
    )
    suffix = f".{options['suffix']}"
    with run.locked(options["overwrite"]), tqdm(desc="clips", total=len(clips), unit="clip", disable=None) as bar:
        if options["as_video"]:
            written = write_video_clips(output, video, frames.first, clips, suffix, bar.update)
        else:
            picture = PictureFormat(suffix, options["quality"])
            written = write_picture_clips(output, video, frames.first, clips, picture, bar.update)
        damaged = write_damage(output, [video])
        run.finish()
    for words in describe_damage(video):
        click.echo(f"{video.path}: {words}", err=True)
    if missing := sum(len(clip.frames) for clip in clips) - written:
        click.echo(f"{missing} frames of the plan could not be decoded and are missing from their clips", err=True)
        damaged = damaged or 1
    return damaged
