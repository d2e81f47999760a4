"""Rows for tests. Each factory makes what it needs; the synchronous calls have an async form in `make`."""

import uuid
from typing import Any

import factory
from asgiref.sync import sync_to_async
from factory.django import DjangoModelFactory

from collections_admin.models import (
    Chunk,
    ChunkState,
    DataTable,
    Document,
    DocumentSource,
    DocumentStatus,
    Membership,
    Role,
    Tenant,
    TenantCollection,
    User,
)

# What every factory account signs in with, stored by the fast hasher of the test settings.
PASSWORD = "correct horse battery staple"


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person{n}@example.com")
    password = factory.django.Password(PASSWORD)


class SuperuserFactory(UserFactory):
    email = factory.Sequence(lambda n: f"root{n}@example.com")
    is_staff = True
    is_superuser = True


class TenantFactory(DjangoModelFactory):
    class Meta:
        model = Tenant

    name = factory.Sequence(lambda n: f"Tenant {n}")
    slug = factory.Sequence(lambda n: f"tenant-{n}")


class MembershipFactory(DjangoModelFactory):
    class Meta:
        model = Membership

    tenant = factory.SubFactory(TenantFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.VIEWER


class DataTableFactory(DjangoModelFactory):
    class Meta:
        model = DataTable

    tenant = factory.SubFactory(TenantFactory)
    name = factory.Sequence(lambda n: f"own_table_{n}")


class CollectionFactory(DjangoModelFactory):
    """A registry row only: Qdrant holds nothing of it until it is ensured."""

    class Meta:
        model = TenantCollection

    tenant = factory.SubFactory(TenantFactory)
    table = "work_items"
    alias = factory.LazyAttribute(lambda row: f"client_{row.tenant.pk}_{row.table}")
    physical_name = factory.LazyAttribute(lambda row: f"{row.alias}__v1")
    embedding_model = "local"
    vector_size = 256


class DocumentFactory(DjangoModelFactory):
    class Meta:
        model = Document

    collection = factory.SubFactory(CollectionFactory)
    tenant = factory.SelfAttribute("collection.tenant")
    external_id = factory.Sequence(lambda n: f"doc-{n}")
    title = factory.Sequence(lambda n: f"Document {n}")
    source = DocumentSource.PASTE
    status = DocumentStatus.PENDING
    content = "The quick brown fox jumps over the lazy dog."
    content_hash = "0" * 64


class ChunkFactory(DjangoModelFactory):
    class Meta:
        model = Chunk

    document = factory.SubFactory(DocumentFactory)
    index = factory.Sequence(int)
    point_id = factory.LazyFunction(uuid.uuid4)
    content = "The quick brown fox jumps over the lazy dog."
    content_hash = "0" * 64
    embedding_model = "local"
    state = ChunkState.SETTLED


def member(tenant: Tenant, role: Role) -> User:
    """A new account with that role in the tenant."""
    return MembershipFactory(tenant=tenant, role=role).user


async def make(factory_or_function: Any, /, *args: Any, **fields: Any) -> Any:
    """`await make(TenantFactory, name="Northwind")` in async tests."""
    return await sync_to_async(factory_or_function, thread_sensitive=True)(*args, **fields)
