"""The modules whose import registers the job kinds of this package; other apps import theirs in `AppConfig.ready`."""
