"""Other people's files on their way into the lake: read, recognised, judged, merged."""
