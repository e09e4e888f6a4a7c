"""The command line as a whole: help, unknown commands, and what is not installed."""

import json
import subprocess
import sys

import pytest

from malaria.cli.__main__ import COMMANDS, main
from tests.support.scratch import ROOT

WITHOUT = """
import json, sys
commands, missing = map(json.loads, sys.argv[1:])
sys.modules |= dict.fromkeys(missing)  # so that importing one raises ModuleNotFoundError
from malaria.cli.__main__ import main
for command in commands:
    try:
        main(command)
    except SystemExit as end:
        print(json.dumps(end.code))
main(commands[0])
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_a_summary_and_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"malaria {command}" in text.split("\n\n", 2)[2]
    assert "%%" not in text


def test_the_list_of_commands_is_printed_without_importing_torch() -> None:
    code = "import sys; from malaria.cli.__main__ import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    *help_text, modules = done.stdout.splitlines()
    assert done.returncode == 0
    assert {"app", "compare", "demo", "export", "predict", "push-runs"} <= {*COMMANDS}
    assert all(any(line.strip().startswith(f"malaria {name} ") for line in help_text) for name in COMMANDS)
    assert not {"torch", "pandas", "dvc"} & {*modules.split()}


@pytest.mark.parametrize("arguments", [["no-such-command"], [], ["evaluate"], ["compare", "main", "--no-such-option"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: malaria" in capsys.readouterr().err


@pytest.mark.slow
def test_a_package_that_is_not_installed_ends_in_one_message_that_tells_how_to_install_it() -> None:
    cases = [
        (["compare", "main", "workspace"], "dvc", "uv sync"),
        (["push-runs"], "dvc", "uv sync"),
        (["app"], "nicegui", "--extra app"),
        (["predict", "cell.png", "--model", "model.onnx"], "onnxruntime", "--extra onnx"),
        (["export", "--onnx", "model.onnx"], "onnx", "--extra onnx"),
    ]
    arguments = [json.dumps([command for command, _, _ in cases]), json.dumps([missing for _, missing, _ in cases])]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *arguments], cwd=ROOT, capture_output=True, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    for (_, missing, remedy), message in zip(cases, messages, strict=True):
        assert missing in message.lower()
        assert remedy in message
    assert done.returncode == 1
    assert done.stderr == f"{messages[0]}\n"
