"""Files from browsers, kept in the database in parts of a mebibyte until a job has read them."""

import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from uuid import UUID

from django.utils import timezone

from collections_admin.concurrency import in_thread
from collections_admin.errors import InvalidInput, NotFound, TooLarge
from collections_admin.limits import MAX_FILE_NAME_CHARS, MEGABYTE
from collections_admin.models import Tenant, Upload, UploadPart
from collections_admin.services.validation import clean_text

PART_BYTES = 1024 * 1024
UNCLAIMED_FOR = timedelta(days=7)  # longer than a failed import waits for somebody to retry it
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredUpload:
    """`sha256` is of the bytes, hexadecimal."""

    id: UUID
    file_name: str
    media_type: str
    size_bytes: int
    sha256: str


def clean_file_name(raw: object, field: str = "files") -> str:
    """The last part of a path, on one line. Raises InvalidInput for what is no name."""
    text = raw.replace("\\", "/").rpartition("/")[2] if isinstance(raw, str) else raw
    name = clean_text(text, field, MAX_FILE_NAME_CHARS, required=False)
    if name in {"", ".", ".."}:
        raise InvalidInput(field, "A file has no name.")
    if _CONTROL.search(name):
        raise InvalidInput(field, f"The file name {_CONTROL.sub('�', name)!r} holds control characters.")
    return name


async def store_upload(
    tenant: Tenant, *, file_name: str, media_type: str, pieces: Iterable[bytes], max_bytes: int
) -> StoredUpload:
    """Keep a file, given in pieces of at most PART_BYTES. Raises InvalidInput or TooLarge; nothing stays then."""
    return await in_thread(_store)(tenant, clean_file_name(file_name), media_type[:100], pieces, max_bytes)


def _store(tenant: Tenant, name: str, media_type: str, pieces: Iterable[bytes], max_bytes: int) -> StoredUpload:
    upload = Upload.objects.create(tenant=tenant, file_name=name, media_type=media_type)
    try:
        upload.size_bytes, upload.sha256 = _write_parts(upload, pieces, max_bytes)
        upload.save(update_fields=["size_bytes", "sha256"])
    except BaseException:
        upload.delete()
        raise
    return StoredUpload(
        id=upload.pk,
        file_name=name,
        media_type=media_type,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
    )


def _write_parts(upload: Upload, pieces: Iterable[bytes], max_bytes: int) -> tuple[int, str]:
    """One short transaction for each part: others can write between them."""
    digest, size = hashlib.sha256(), 0
    for index, piece in enumerate(pieces):
        size += len(piece)
        if size > max_bytes:
            raise TooLarge(
                "files",
                f"{upload.file_name} is larger than {max_bytes // MEGABYTE} MB, the most that is taken here.",
            )
        digest.update(piece)
        UploadPart.objects.create(upload=upload, index=index, data=piece)
    if not size:
        raise InvalidInput("files", f"{upload.file_name} is empty.")
    return size, digest.hexdigest()


async def find_upload(upload_id: UUID, *, tenant_id: int | None) -> Upload:
    upload = await Upload.objects.filter(pk=upload_id, tenant_id=tenant_id).afirst()
    if upload is None:
        raise NotFound("The uploaded file is no longer there; hand it in again.")
    return upload


async def upload_parts(upload_id: UUID) -> AsyncIterator[bytes]:
    """The bytes of a file in order, one part in memory at a time."""
    read = in_thread(_part)
    index = 0
    while (part := await read(upload_id, index)) is not None:
        yield part
        index += 1


def _part(upload_id: UUID, index: int) -> bytes | None:
    data = UploadPart.objects.filter(upload_id=upload_id, index=index).values_list("data", flat=True).first()
    return None if data is None else bytes(data)


async def discard_uploads(upload_ids: Iterable[UUID]) -> None:
    await in_thread(remove_uploads)(list(upload_ids))


def remove_uploads(upload_ids: Iterable[UUID]) -> None:
    """Part by part: a cascade would read all the bytes of a file only to delete them."""
    ids = list(upload_ids)
    UploadPart.objects.filter(upload_id__in=ids)._raw_delete("default")  # noqa: SLF001 - the rows' bytes stay unread
    Upload.objects.filter(pk__in=ids).delete()


@in_thread
def sweep_unclaimed(tenant: Tenant) -> int:
    """Remove old uploads that no document waits for: their browser left, or their import was given up."""
    old = Upload.objects.filter(tenant=tenant, created_at__lt=timezone.now() - UNCLAIMED_FOR, documents__isnull=True)
    ids = list(old.values_list("pk", flat=True)[:100])
    remove_uploads(ids)
    return len(ids)


def pieces_of(*parts: bytes) -> Iterator[bytes]:
    """Bytes at hand, cut as `store_upload` takes them."""
    return chain.from_iterable(
        (part[start : start + PART_BYTES] for start in range(0, len(part), PART_BYTES)) for part in parts
    )
