"""The one way in which the embedded PostgreSQL says that it cannot serve."""


class PostgresUnavailable(Exception):
    """The embedded PostgreSQL cannot be started, reached or stopped; the message says why and what to do."""
