import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("collections_admin", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="document",
            name="upload",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="documents",
                to="collections_admin.upload",
            ),
        ),
    ]
