"""Every limit on what people and files may bring, in one place. A message that refuses names the limit."""

MEGABYTE = 1_000_000

# Files, in bytes.
MAX_UPLOAD_BYTES = 20 * MEGABYTE  # one uploaded document
MAX_UPLOAD_FILES = 20  # handed in at once
MAX_IMPORT_BYTES = 200 * MEGABYTE  # one file of records
MAX_RECORD_BYTES = 16 * MEGABYTE  # one record of such a file (JSON may write a character as six bytes)
MAX_RECORDS = 100_000  # records in one import

# Texts, in characters.
MAX_TEXT_CHARS = 2_000_000  # text of one document
MAX_TITLE_CHARS = 500
MAX_EXTERNAL_ID_CHARS = 255
MAX_FILE_NAME_CHARS = 255
MAX_TABLE_NAME_CHARS = 63
MAX_QUERY_CHARS = 4_000  # a search text
MAX_CHUNK_CHARS = 32_000  # one chunk, also when a person edits it

# Metadata of a record. Qdrant's client fails on a page with a payload nested deeper than 32.
MAX_NESTING = 16  # levels of objects and lists
MAX_META_BYTES = 64_000  # as JSON
MAX_META_KEYS = 1_000  # keys in all levels together
MAX_KEY_CHARS = 256
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1  # what a Qdrant payload holds

# Splitting, in tokens of `services.splitting.count_tokens`.
MIN_CHUNK_SIZE, MAX_CHUNK_SIZE = 16, 2_048
CHUNK_SIZE = 220
CHUNK_OVERLAP = 20

# Parsing in a child process.
MAX_PAGES = 5_000  # of a PDF
MAX_UNPACKED_BYTES = 100 * MEGABYTE  # all parts of a DOCX together
MAX_ARCHIVE_PARTS = 5_000  # files inside a DOCX
PARSE_MEMORY_BYTES = 768 * 1024 * 1024  # address space; the interpreter with its libraries takes about 150 MB of it
PARSE_CPU_SECONDS = 30
PARSE_SECONDS = 60  # wall time
PARSE_OUTPUT_BYTES = 4 * MAX_TEXT_CHARS + MEGABYTE  # what the child may answer
PARSE_PROCESSES = 2  # at one time in one process of ours
