"""Which frames are worth a person's time: strategies over arrays (pure), and the measuring that feeds them."""
