"""One run of the study on disk: its folder, the stage cache, files, the log, parameters, devices."""
