"""The kinds of jobs. Importing this package registers them: add a line for each new module."""

from collections_admin.jobs.kinds import (
    collection_removal,
    delete_documents,
    ended,
    ensure,
    import_records,
    ingest,
)

__all__ = ["collection_removal", "delete_documents", "ended", "ensure", "import_records", "ingest"]
