from django.apps import AppConfig


class CollectionsAdminConfig(AppConfig):
    name = "collections_admin"
    verbose_name = "Collections"

    def ready(self) -> None:
        # Job kinds register themselves when their modules are imported.
        from collections_admin.jobs import kinds  # noqa: F401 - imported for its effect, after the models exist
