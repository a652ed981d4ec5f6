"""Looking at frames with what was proposed, corrected and is true; and what people's tags on them lead to."""
