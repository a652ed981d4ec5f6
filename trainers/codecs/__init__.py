"""Joints <-> what networks learn: encode and decode side by side, vectorised over any leading dimensions (numpy).

Positions are pixels of the network's input, (0, 0) the outer corner of its first pixel. A joint that was not found
has the position NaN and the score 0.
"""

from trainers.codecs.cells import Alignment, Size, average_mirrored, cells_to_input, input_to_cells
from trainers.codecs.coordinates import Column, Unit, decode_coordinates, encode_coordinates
from trainers.codecs.expected_oks import Decoding, decode_expected_oks, oks_fall_offs
from trainers.codecs.heatmap import Activation, decode_heatmaps, encode_heatmaps, turn_negative
from trainers.codecs.peak_entropy import peak_entropy
from trainers.codecs.simcc import decode_simcc, encode_simcc

__all__ = [
    "Activation",
    "Alignment",
    "Column",
    "Decoding",
    "Size",
    "Unit",
    "average_mirrored",
    "cells_to_input",
    "decode_coordinates",
    "decode_expected_oks",
    "decode_heatmaps",
    "decode_simcc",
    "encode_coordinates",
    "encode_heatmaps",
    "encode_simcc",
    "input_to_cells",
    "oks_fall_offs",
    "peak_entropy",
    "turn_negative",
]
