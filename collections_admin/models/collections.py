from django.db import models

from collections_admin.models.tenants import Tenant

DEFAULT_TABLES = (
    "work_items",
    "work_item_changelogs",
    "projects",
    "statuses",
    "issue_types",
    "pull_requests",
    "pull_request_commits",
    "pull_request_reviews",
    "pull_request_comments",
    "repositories",
    "users",
    "sprints",
    "documents",
)


class DataTable(models.Model):
    """A table that a tenant added to `DEFAULT_TABLES`. Each tenant has its own: names of others stay unseen."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tables")
    name = models.CharField(max_length=63)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="table_once_per_tenant")]

    def __str__(self) -> str:
        return self.name


class Distance(models.TextChoices):
    COSINE = "cosine", "Cosine"
    DOT = "dot", "Dot product"
    EUCLID = "euclid", "Euclidean"
    MANHATTAN = "manhattan", "Manhattan"


class Quantization(models.TextChoices):
    NONE = "none", "None"
    SCALAR = "scalar", "Scalar (int8)"
    PRODUCT = "product", "Product (×16)"
    BINARY = "binary", "Binary"


class Removal(models.TextChoices):
    CLEAN_UP = "clean_up", "Clean-up"  # points and documents go, the collection stays
    DELETE = "delete", "Delete"  # all of it goes, the registry row last


class TenantCollection(models.Model):
    """The registry: the only authority on which Qdrant collection belongs to which tenant and table."""

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="collections")
    table = models.CharField(max_length=63)
    alias = models.CharField(max_length=200, unique=True)
    version = models.PositiveIntegerField(default=1)
    physical_name = models.CharField(max_length=220, unique=True)
    embedding_model = models.CharField(max_length=100)
    vector_size = models.PositiveIntegerField()
    distance = models.CharField(max_length=10, choices=Distance, default=Distance.COSINE)
    hnsw_m = models.PositiveIntegerField(default=16)
    hnsw_ef_construct = models.PositiveIntegerField(default=100)
    quantization = models.CharField(max_length=10, choices=Quantization, default=Quantization.NONE)
    on_disk = models.BooleanField(default=False)
    strict_mode = models.BooleanField(default=True)
    chunk_size = models.PositiveIntegerField(default=220)  # tokens
    chunk_overlap = models.PositiveIntegerField(default=20)  # tokens
    is_protected = models.BooleanField(default=False)
    # Set with the decision and until all of it is done, however often that is interrupted: meanwhile nothing is added.
    removal = models.CharField(max_length=10, choices=Removal, blank=True, default="")
    ensured_at = models.DateTimeField(null=True, blank=True)  # last time Qdrant was seen to hold all of it
    last_ingest_at = models.DateTimeField(null=True, blank=True)
    last_reindex_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["table"]
        constraints = [models.UniqueConstraint(fields=["tenant", "table"], name="collection_once_per_table")]

    def __str__(self) -> str:
        return self.alias
