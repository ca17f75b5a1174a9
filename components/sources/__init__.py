"""Where shop tables come from: packaged data, a folder, SQL, the store of feedback."""
