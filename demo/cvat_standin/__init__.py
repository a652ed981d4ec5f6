"""A stand-in for a CVAT 2.73 server: real HTTP, its own state, faults on demand."""

from demo.cvat_standin.faults import Fault
from demo.cvat_standin.server import StandInServer
from demo.cvat_standin.state import State

__all__ = ["Fault", "StandInServer", "State"]
