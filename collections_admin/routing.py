from django.urls import path, re_path

from collections_admin import consumers

websocket_urlpatterns = [
    path("ws/tenants/<int:tenant_id>/jobs/", consumers.TenantJobsConsumer.as_asgi()),
    path("ws/tenants/<int:tenant_id>/jobs/<uuid:job_id>/", consumers.JobConsumer.as_asgi()),
    re_path(r"", consumers.NowhereConsumer.as_asgi()),
]
