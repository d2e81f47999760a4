"""Errors that people can read, each with the HTTP status it is answered with.

ConsoleError
├── InvalidInput            400  a field and what is wrong with it
│   ├── TooLarge            413
│   └── UnreadableDocument  400  a file that cannot be parsed
├── SignInNeeded            401
├── Forbidden               403
├── NotFound                404
├── Conflict                409
└── Unavailable             503  an outside system does not do its part
    ├── QdrantUnavailable
    ├── QdrantTimeout
    ├── QdrantRejected
    └── EmbeddingUnavailable
"""


class ConsoleError(Exception):
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(ConsoleError):
    """`field` is the name of the form field, URL parameter or payload path at fault."""

    status = 400

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class TooLarge(InvalidInput):
    status = 413


class UnreadableDocument(InvalidInput):
    pass


class SignInNeeded(ConsoleError):
    status = 401

    def __init__(self, message: str = "Sign in to see this page.") -> None:
        super().__init__(message)


class Forbidden(ConsoleError):
    status = 403


class NotFound(ConsoleError):
    status = 404

    def __init__(self, message: str = "There is no such page, or it is not yours to see.") -> None:
        super().__init__(message)


class Conflict(ConsoleError):
    status = 409


class Unavailable(ConsoleError):
    status = 503


class QdrantUnavailable(Unavailable):
    pass


class QdrantTimeout(Unavailable):
    pass


class QdrantRejected(Unavailable):
    pass


class EmbeddingUnavailable(Unavailable):
    pass
