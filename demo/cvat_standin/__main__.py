"""python -m demo.cvat_standin: the stand-in as a process of its own, to try the CVAT commands without a CVAT."""

from __future__ import annotations

import signal
import sys
import threading

import click

from demo.cvat_standin.server import StandInServer


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any that is free.")
def main(port: int) -> None:
    """Print where it listens and a token, as lines for a shell, and serve until stopped (Ctrl-C).

    It listens on 127.0.0.1 alone and keeps all in memory: what was in it is gone with it.

    \b
    Example:
      python -m demo.cvat_standin > cvat.env &
      source cvat.env
      annotator push out --project walkers
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with StandInServer(port) as server:
            click.echo(f"export CVAT_HOST={server.url}\nexport CVAT_ACCESS_TOKEN={server.token}")
            sys.stdout.flush()
            stopped.wait()
    except OSError as error:
        raise click.ClickException(f"port {port}: {error.strerror}; choose another, or 0 for any") from error


if __name__ == "__main__":
    main()
