"""`welltimed`: the command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong settings."""

import click

from service import (
    cli_bench,
    cli_dead_letters,
    cli_keys,
    cli_offers,
    cli_operations,
    cli_policies,
    cli_push,
    cli_sending,
    cli_serve,
    cli_worlds,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="welltimed")
def main() -> None:
    """Decides for each person which deal to offer, at what moment, or nothing at all."""


for command in (
    cli_serve.serve,
    cli_operations.migrate,
    cli_operations.doctor,
    cli_operations.backup,
    cli_operations.restore,
    cli_keys.keys,
    cli_offers.offers,
    cli_push.push,
    cli_dead_letters.dead_letters,
    cli_sending.sending,
    cli_policies.policies,
    cli_policies.snapshots,
    cli_worlds.demo,
    cli_worlds.evaluate,
    cli_worlds.replay,
    cli_worlds.simulate,
    cli_bench.bench,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
