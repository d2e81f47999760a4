import uuid

from django.db import models

from collections_admin.models.collections import TenantCollection
from collections_admin.models.tenants import Tenant


class DocumentStatus(models.TextChoices):
    PENDING = "pending", "Pending"  # waits for its ingest
    INDEXING = "indexing", "Indexing"  # a worker is at it
    INDEXED = "indexed", "Indexed"  # Qdrant holds all its chunks
    FAILED = "failed", "Failed"  # `error` says why
    ARCHIVED = "archived", "Archived"  # kept, but left out of searches


class DocumentSource(models.TextChoices):
    UPLOAD = "upload", "Upload"
    PASTE = "paste", "Paste"
    IMPORT = "import", "Import"


class Document(models.Model):
    """One source record or uploaded file; the truth from which its points can be rebuilt."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="documents")
    collection = models.ForeignKey(TenantCollection, models.PROTECT, related_name="documents")
    external_id = models.CharField(max_length=255)
    title = models.CharField(max_length=500)
    source = models.CharField(max_length=10, choices=DocumentSource)
    file_name = models.CharField(max_length=255, blank=True)
    media_type = models.CharField(max_length=100, blank=True)
    content = models.TextField(blank=True)
    content_hash = models.CharField(max_length=64, blank=True)  # sha256 of content, title and meta, hexadecimal
    meta = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=10, choices=DocumentStatus, default=DocumentStatus.PENDING)
    error = models.TextField(blank=True)
    # A file handed in whose text has not been read into `content` yet.
    upload = models.ForeignKey(
        "collections_admin.Upload", models.SET_NULL, null=True, blank=True, related_name="documents"
    )
    rev = models.PositiveIntegerField(default=1)  # raised by each change; the points carry it
    indexed_rev = models.PositiveIntegerField(default=0)  # the rev whose chunks Qdrant holds
    size_bytes = models.PositiveBigIntegerField(default=0)
    chunk_count = models.PositiveIntegerField(default=0)
    token_count = models.PositiveIntegerField(default=0)
    timings = models.JSONField(default=dict, blank=True)  # milliseconds by step of the last ingest
    created_by = models.ForeignKey("collections_admin.User", models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    indexed_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)  # its points are being removed; then the row goes

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["collection", "external_id"], name="document_external_id_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="document_by_tenant"),
            models.Index(fields=["collection", "status", "-created_at", "-id"], name="document_by_status"),
        ]

    def __str__(self) -> str:
        return self.title


class ChunkState(models.TextChoices):
    PENDING = "pending", "Pending"  # written here, not yet confirmed by Qdrant
    SETTLED = "settled", "Settled"  # Qdrant confirmed the point
    DELETING = "deleting", "Deleting"  # its point is to be removed


class Chunk(models.Model):
    """The bridge between database and Qdrant: written before the upsert, settled after it."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="chunks")
    index = models.PositiveIntegerField()
    point_id = models.UUIDField(unique=True)
    content = models.TextField()
    content_hash = models.CharField(max_length=64)
    embedding_model = models.CharField(max_length=100)
    token_count = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=ChunkState, default=ChunkState.PENDING)
    rev = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["document", "index"]
        constraints = [models.UniqueConstraint(fields=["document", "index"], name="chunk_index_once")]
        indexes = [
            models.Index(fields=["updated_at"], name="chunk_unsettled", condition=~models.Q(state="settled")),
        ]

    def __str__(self) -> str:
        return f"{self.document_id}[{self.index}]"


class Upload(models.Model):
    """A file handed in by a browser, kept in the database until its job has read it: any worker can reach it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="uploads")
    file_name = models.CharField(max_length=255)
    media_type = models.CharField(max_length=100, blank=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.file_name


class UploadPart(models.Model):
    """Up to one mebibyte of an upload, so that no process ever holds a whole file."""

    upload = models.ForeignKey(Upload, models.CASCADE, related_name="parts")
    index = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["upload", "index"]
        constraints = [models.UniqueConstraint(fields=["upload", "index"], name="upload_part_once")]

    def __str__(self) -> str:
        return f"{self.upload_id}[{self.index}]"
