"""Do the strategies of `annotator select` beat drawing frames uniformly? See docs/selection-benchmark.md."""
