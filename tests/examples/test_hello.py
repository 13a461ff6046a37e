from pathlib import Path

import pytest

from examples import hello


async def test_says_hello_and_may_be_run_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'hello.db'}"
    await hello.main(url)
    await hello.main(url)
    assert capsys.readouterr().out == "Hello, World!\nHello, World!\n"
