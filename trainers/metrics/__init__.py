"""How good joints are: arrays in, numbers out. numpy alone; what is measured, and from where, stands in each module."""
