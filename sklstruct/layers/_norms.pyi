from typing import Any

def available() -> list[str]: ...
def run(
    kernel: str,
    threads: int,
    backward: bool,
    eps: float,
    limit: int,
    factor: float,
    /,
    *arrays: Any,
) -> None: ...
