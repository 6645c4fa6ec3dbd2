"""How well the monitor's doubt tells nominal episodes of an emulated arm from shifted ones."""
