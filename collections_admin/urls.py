from django.urls import include, path

from collections_admin.views import chunks as chunk_views
from collections_admin.views import collection_removal, document_entry
from collections_admin.views import collections as collection_views
from collections_admin.views import documents as document_views
from collections_admin.views import jobs as job_views
from collections_admin.views import search as search_views
from collections_admin.views import tenants as tenant_views

tenants: list = [
    path("", tenant_views.tenant_list, name="tenant-list"),
    path("new/", tenant_views.tenant_create, name="tenant-create"),
    path("ensure/", collection_views.tenant_ensure_all, name="tenant-ensure-all"),
    path("<int:tenant_id>/", tenant_views.tenant_detail, name="tenant-detail"),
    path("<int:tenant_id>/edit/", tenant_views.tenant_edit, name="tenant-edit"),
    path("<int:tenant_id>/deactivate/", tenant_views.tenant_deactivate, name="tenant-deactivate"),
    path("<int:tenant_id>/members/add/", tenant_views.member_add, name="member-add"),
    path("<int:tenant_id>/members/<int:member_id>/", tenant_views.member_edit, name="member-edit"),
    path("<int:tenant_id>/members/<int:member_id>/remove/", tenant_views.member_remove, name="member-remove"),
]

collections: list = [
    path("tables/add/", collection_views.table_add, name="table-add"),
    path("collections/", collection_views.collection_list, name="collection-list"),
    path("collections/rows/", collection_views.collection_rows, name="collection-rows"),
    path("collections/new/", collection_views.collection_create, name="collection-create"),
    path("collections/ensure/", collection_views.collection_ensure_all, name="collection-ensure-all"),
    path("collections/<slug:table>/", collection_views.collection_detail, name="collection-detail"),
    path("collections/<slug:table>/edit/", collection_views.collection_edit, name="collection-edit"),
    path("collections/<slug:table>/ensure/", collection_views.collection_ensure, name="collection-ensure"),
    path("collections/<slug:table>/ingest/", collection_views.collection_ingest, name="collection-ingest"),
    path("collections/<slug:table>/protect/", collection_views.collection_protect, name="collection-protect"),
    path("collections/<slug:table>/clean-up/", collection_removal.collection_clean_up, name="collection-clean-up"),
    path("collections/<slug:table>/delete/", collection_removal.collection_delete, name="collection-delete"),
]

documents: list = [
    path("documents/", document_views.document_list, name="document-list"),
    path("documents/work/", document_views.document_work, name="document-work"),
    path("documents/facet/", document_views.document_facet, name="document-facet"),
    path("documents/bulk/", document_views.document_bulk, name="document-bulk"),
    path("documents/ingest-failed/", document_views.document_ingest_failed, name="document-ingest-failed"),
    path("documents/new/", document_entry.document_create, name="document-create"),
    path("documents/new/paste/", document_entry.document_paste, name="document-paste"),
    path("documents/new/import/", document_entry.document_import, name="document-import"),
    path("documents/<uuid:document_id>/", document_views.document_detail, name="document-detail"),
    path("documents/<uuid:document_id>/record/", document_views.document_record, name="document-record"),
    path("documents/<uuid:document_id>/history/", document_views.document_history, name="document-history"),
    path("documents/<uuid:document_id>/download/", document_views.document_download, name="document-download"),
    path("documents/<uuid:document_id>/edit/", document_views.document_edit, name="document-edit"),
    path("documents/<uuid:document_id>/ingest/", document_views.document_ingest, name="document-ingest"),
    path("documents/<uuid:document_id>/archive/", document_views.document_archive, name="document-archive"),
    path("documents/<uuid:document_id>/restore/", document_views.document_restore, name="document-restore"),
    path("documents/<uuid:document_id>/delete/", document_views.document_delete, name="document-delete"),
]

chunks: list = [
    path("collections/<slug:table>/chunks/", chunk_views.chunk_list, name="chunk-list"),
    path("collections/<slug:table>/chunks/count/", chunk_views.chunk_count, name="chunk-count"),
    path("collections/<slug:table>/chunks/facet/", chunk_views.chunk_facet, name="chunk-facet"),
    path("collections/<slug:table>/chunks/<uuid:point_id>/", chunk_views.chunk_detail, name="chunk-detail"),
    path("documents/<uuid:document_id>/chunks/", chunk_views.document_chunks, name="document-chunks"),
]

search: list = [
    path("search/", search_views.search, name="search"),
]

jobs = [
    path("jobs/", job_views.job_list, name="job-list"),
    path("jobs/<uuid:job_id>/", job_views.job_show, name="job-detail"),
    path("jobs/<uuid:job_id>/cancel/", job_views.job_cancel, name="job-cancel"),
    path("jobs/<uuid:job_id>/retry/", job_views.job_retry, name="job-retry"),
]

urlpatterns = [
    path("tenants/", include(tenants)),
    path("tenants/<int:tenant_id>/", include([*collections, *documents, *chunks, *search, *jobs])),
]
