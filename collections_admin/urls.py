from django.urls import include, path

tenants: list = []

collections: list = []

documents: list = []

chunks: list = []

search: list = []

jobs: list = []

urlpatterns = [
    path("tenants/", include(tenants)),
    path("tenants/<int:tenant_id>/", include([*collections, *documents, *chunks, *search, *jobs])),
]
