"""Flight logs: writing, salvaging, plotting and replaying what an arm did."""
