"""One file a family of detectors; `annotator.detector.load_detector` and `model_file.FAMILIES` know them all."""
