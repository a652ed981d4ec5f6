"""An anchor-free detector of one class: cells of a network's maps <-> boxes, and what training makes small (torch).

Boxes are xyxy in pixels of the network's input, (0, 0) the outer corner of its first pixel. Cells are those of all
levels in one row: the finest level first, each level row by row.
"""
