"""Side-by-side measurements, printed by `robot-mbrl bench`."""
