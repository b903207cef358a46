"""``lionpride completion``: the script that lets a shell complete commands and options."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from ..grammar import COMPLETION, argument, command
from ..output.streams import tell

__all__ = ["completion"]

SHELLS: Final = ("bash", "zsh", "fish")

EPILOG: Final = """\
\b
load it when a shell starts:
  bash  eval "$(lionpride completion bash)"   in ~/.bashrc; needs bash 4.4
  zsh   eval "$(lionpride completion zsh)"    in ~/.zshrc, after compinit
  fish  lionpride completion fish | source    in ~/.config/fish/config.fish
"""


@command(
    "completion",
    help="Print the script that completes commands, options and values in a shell.",
    epilog=EPILOG,
)
@argument("shell", metavar="SHELL", type=click.Choice(SHELLS), help=", ".join(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script, which asks this program for the words that fit."""
    root = ctx.find_root()
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(root.command, {}, str(root.info_name), COMPLETION)
    tell(script.source_template % script.source_vars())
    return 0
