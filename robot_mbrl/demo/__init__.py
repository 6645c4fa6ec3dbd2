"""The demonstration: an emulated arm learns, reaches, is disturbed, stops, and a report tells of it all."""
