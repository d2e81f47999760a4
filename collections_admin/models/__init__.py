from collections_admin.models.audit import AuditEvent
from collections_admin.models.collections import (
    DEFAULT_TABLES,
    DataTable,
    Distance,
    Quantization,
    Removal,
    TenantCollection,
)
from collections_admin.models.documents import (
    Chunk,
    ChunkState,
    Document,
    DocumentSource,
    DocumentStatus,
    Upload,
    UploadPart,
)
from collections_admin.models.jobs import Job, JobAttempt, JobLog, JobStatus, Worker
from collections_admin.models.tenants import Membership, Role, Tenant
from collections_admin.models.users import User, UserManager

__all__ = [
    "DEFAULT_TABLES",
    "AuditEvent",
    "Chunk",
    "ChunkState",
    "DataTable",
    "Distance",
    "Document",
    "DocumentSource",
    "DocumentStatus",
    "Job",
    "JobAttempt",
    "JobLog",
    "JobStatus",
    "Membership",
    "Quantization",
    "Removal",
    "Role",
    "Tenant",
    "TenantCollection",
    "Upload",
    "UploadPart",
    "User",
    "UserManager",
    "Worker",
]
