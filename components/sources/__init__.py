"""Where shop tables come from: packaged data, a folder, SQL."""
