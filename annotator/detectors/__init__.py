"""One file a family of detectors; `annotator.detector.load_detector` knows them all."""
