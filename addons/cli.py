"""The ``fediward`` command: each subcommand lives in ``addons/commands`` and is imported only when it is called."""

import importlib

import click

# command -> one line of help, so that `fediward --help` imports nothing heavy (torch takes seconds).
COMMANDS = {
    "alarms": "Try whether an alarm would reach anybody.",
    "allow": "Undo a wrong decision everywhere: by its id, a SHA-256 or a URL.",
    "ca": "Show the fetch door's certificate authority, and the lines that have your server use it.",
    "calibrate": "Find thresholds for a wanted rate of mistakes, from your own ordinary media.",
    "check": "Judge image files as the doors would and say what the policy does with them.",
    "config": "Check a configuration file, or print the commented example.",
    "denials": "List the hosts and actors that rules denied for a while, and lift a denial.",
    "doctor": "Try every part of a configuration for real, and say what to mend.",
    "demo": "Run a little fediverse on this machine and watch fediward stop forbidden shapes.",
    "drill": "Make one cause of trouble happen, and see whether your policy is carried out.",
    "exchanges": "Fetch hash lists from NCMEC, StopNCII and the like by hand, and see when they were fetched.",
    "explain": "Explain one decision in full.",
    "hashes": "Import, add, remove, count and try known hashes.",
    "holds": "List held deliveries, look at one, let one go or drop it.",
    "inspect": "Show the media, links and fetches in ActivityPub documents.",
    "log": "List decisions, newest last.",
    "models": "List, download and verify classifier models.",
    "run": "Run the doors of a configuration file.",
    "worker": "Judge for doors on other machines.",
}


class LazyGroup(click.Group):
    """A group that finds the subcommand NAME as ``command`` in ``addons.commands.NAME_``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one subcommand that is called."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"addons.commands.{cmd_name}_")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fediward")
def main() -> None:
    """Keep forbidden images out of a fediverse server before it has them.

    Start with `fediward demo`, then `fediward config example > config.yaml`.
    """
