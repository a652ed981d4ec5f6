"""The videos of the shared data, by name."""

SHARED_VIDEOS = (
    "basketball_pan_blur",
    "cars_no_people",
    "dancer_portrait",
    "people_one_by_one",
    "rotation_metadata",
    "variable_frame_rate",
)
