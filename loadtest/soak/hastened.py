"""What PostgreSQL does by the real clock, done as often by the product's."""

from loadtest.soak import explained

_SET = (
    # The least it takes: at the default of a minute, tables of a new day are planned for as if they were empty until some hours of it are over.
    "alter system set autovacuum_naptime = '1s'",
    # It pauses so as not to be in the way, by the real clock too: of what one table needs in minutes others would wait for days.
    "alter system set autovacuum_vacuum_cost_delay = 0",
    "select pg_reload_conf()",
)


async def autovacuum(dsn: str) -> None:
    """Looks at its tables every second from now on, also after PostgreSQL has been started anew."""
    connection = await explained.unexplained(dsn)
    try:
        for statement in _SET:
            await connection.execute(statement)
    finally:
        await connection.close()
