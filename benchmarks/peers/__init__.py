"""The same training by other means. Each is a script: PEER DATA EPOCHS prints one JSON line."""
