"""Does a model still hold? What has drifted, who should be in charge, when to stand aside, and how old is too old."""
