from django.conf import settings
from django.db import models

from collections_admin.models.tenants import Tenant


class AuditEvent(models.Model):
    """Who changed what, or was refused; rows are only ever added."""

    at = models.DateTimeField(auto_now_add=True)
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, blank=True, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    user_email = models.CharField(max_length=254, blank=True)  # stays readable when the account is gone
    action = models.CharField(max_length=60)  # noun.verb, such as collection.delete
    target = models.CharField(max_length=255)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    refused = models.BooleanField(default=False)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["tenant", "-at", "-id"], name="audit_by_tenant")]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"
