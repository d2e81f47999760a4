from django.urls import include, path

from collections_admin.views import tenants as tenant_views

tenants: list = [
    path("", tenant_views.tenant_list, name="tenant-list"),
    path("new/", tenant_views.tenant_create, name="tenant-create"),
    path("<int:tenant_id>/", tenant_views.tenant_detail, name="tenant-detail"),
    path("<int:tenant_id>/edit/", tenant_views.tenant_edit, name="tenant-edit"),
    path("<int:tenant_id>/deactivate/", tenant_views.tenant_deactivate, name="tenant-deactivate"),
    path("<int:tenant_id>/members/add/", tenant_views.member_add, name="member-add"),
    path("<int:tenant_id>/members/<int:member_id>/", tenant_views.member_edit, name="member-edit"),
    path("<int:tenant_id>/members/<int:member_id>/remove/", tenant_views.member_remove, name="member-remove"),
]

collections: list = []

documents: list = []

chunks: list = []

search: list = []

jobs: list = []

urlpatterns = [
    path("tenants/", include(tenants)),
    path("tenants/<int:tenant_id>/", include([*collections, *documents, *chunks, *search, *jobs])),
]
