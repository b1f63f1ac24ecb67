"""`pdekan completion`: a script that completes commands, options and names of problems in a shell."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping

from pdekan.commands.codes import DONE
from pdekan.problem_files.library import problems, suites

SHELLS = ("bash", "zsh", "fish")


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code."""
    text = script(options.shell, options.commands)
    print(json.dumps({"schema": 1, "shell": options.shell, "script": text}) if options.json else text)
    return DONE


def script(shell: str, commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """The script for one of SHELLS."""
    if shell == "fish":
        return "\n".join(["complete -c pdekan -n __fish_use_subcommand -f", *_fish(commands)])
    cases = "\n".join(f"    {name}) words={shlex.quote(' '.join(_words(one)))} ;;" for name, one in commands.items())
    bash = f"""_pdekan() {{
  local words
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words={shlex.quote(" ".join(["--help", "--version", *commands]))}; fi
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _pdekan pdekan"""
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash}" if shell == "zsh" else bash


def _words(command: argparse.ArgumentParser) -> list[str]:
    """What may follow a command: its options, and names where it takes them; files are completed by the shell."""
    long = [word for action in command._actions for word in action.option_strings if word.startswith("--")]
    choices = [str(one) for action in command._actions if not action.option_strings for one in action.choices or ()]
    return [*long, *choices, *_names(command)]


def _names(command: argparse.ArgumentParser) -> list[str]:
    """The problems, or the suites, of the library."""
    taken = {action.dest for action in command._actions}
    if "folder" in taken:
        return list(suites())
    return list(problems()) if "file" in taken or command.prog.endswith(" show") else []


def _fish(commands: Mapping[str, argparse.ArgumentParser]) -> list[str]:
    lines = []
    for name, command in commands.items():
        lines.append(f"complete -c pdekan -n __fish_use_subcommand -a {name} -d {shlex.quote(command.description or '')}")
        here = f'complete -c pdekan -n "__fish_seen_subcommand_from {name}"'
        for action in command._actions:
            long = [word[2:] for word in action.option_strings if word.startswith("--")]
            lines += [f"{here} -l {word} -d {shlex.quote(action.help or '')}" for word in long]
        if names := _names(command):
            lines.append(f"{here} -a {shlex.quote(' '.join(names))}")
    return lines
